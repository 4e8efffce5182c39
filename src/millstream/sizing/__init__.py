"""What a function needs and what it costs: prices, forecasts."""
