"""The code of the pages on how to bring a network, data, a metric and a verb to taskkit."""
