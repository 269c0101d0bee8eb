"""The documentation as a site, which `scripts/docs --site` builds with Sphinx from the Markdown pages."""
