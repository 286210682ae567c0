"""Our own JSON API and pages."""
