"""``plaudit reproduce paper``: the experiments of a paper as recipes, each judged by a rule that was written beforehand."""
