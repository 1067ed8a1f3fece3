"""Virtual charging stations: OCPP clients that share no code with the gateway."""
