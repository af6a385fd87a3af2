"""The local fabric, on moto. Never shipped to Lambda."""
