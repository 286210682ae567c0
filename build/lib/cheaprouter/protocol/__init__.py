"""The shapes of chat requests, replies and errors, as HTTP and MQTT both speak them."""
