"""The MQTT front door: state out, commands in, Home Assistant discovery, chat for things without an HTTP client."""
