"""Who is known, and what each may do: devices, streams, invites, allowances, on disk."""
