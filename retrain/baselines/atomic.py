"""Turns RecBole's atomic files of interactions into `user item item ...` lines.

    python retrain/baselines/atomic.py < ml-100k.inter > ml-100k.txt

The columns that are read are user_id, item_id and timestamp. A user's items stand in
order of time, those of one time in order of their ids; ids are numbers from 1 in order of
their first appearance.
"""

import collections
import sys


def main():
    columns = [name.split(":")[0] for name in sys.stdin.readline().split("\t")]
    user, item, time = (columns.index(name) for name in ("user_id", "item_id", "timestamp"))
    histories, numbers = collections.defaultdict(list), {}
    for line in sys.stdin:
        values = line.rstrip("\n").split("\t")
        histories[int(values[user])].append((float(values[time]), int(values[item])))
    for number, name in enumerate(sorted(histories), 1):
        items = (numbers.setdefault(item, len(numbers) + 1) for _, item in sorted(histories[name]))
        print(number, *items)


if __name__ == "__main__":
    main()
