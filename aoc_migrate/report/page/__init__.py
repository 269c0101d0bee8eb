"""What HTML pages are made of: templates, a style sheet, and the values that they show."""
