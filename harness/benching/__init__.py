"""The schemes against each other: servers of all labs under load_client, measured, told and drawn."""
