"""The whole system on one machine: the servers, the replay of a trace, the demo."""
