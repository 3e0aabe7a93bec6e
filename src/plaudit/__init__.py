"""plaudit: large language models as judges, reward writers and policies for reinforcement learning."""

__version__ = "0.1.0"
