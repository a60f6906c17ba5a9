"""What the handouts quote and show, held to what the labs contain and print."""
