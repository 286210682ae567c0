"""The page in Home Assistant's sidebar: a site of its own, reached through ingress or from this machine alone."""
