"""How the gateway and its devices stand, for people and machines."""
