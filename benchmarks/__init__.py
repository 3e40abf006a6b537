"""What tsn reaches, measured side by side with what people would use instead."""
