"""CheapRouter: one OpenAI-compatible endpoint for a home, with the cheapest model that can do the job."""
