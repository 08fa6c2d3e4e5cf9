"""Stands for the application: loads the real sales and makes live traffic. Touches the application's tables only."""
