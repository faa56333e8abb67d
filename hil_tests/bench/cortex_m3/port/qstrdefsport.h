// No interned strings beyond those that the sources name. *FORMAT-OFF*
