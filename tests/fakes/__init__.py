"""Real parts for tests: servers, brokers and routers that listen on free ports of this machine."""
