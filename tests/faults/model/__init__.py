"""The protocol of the exactly-once ledger, and a search through every interleaving of it in small worlds.

A shard has one item {version, committed, attempt, intent}; intent is none, or {attempt, token, first, last, keys, dead}. A swap
succeeds where the version is as known; one that fails finds the item, and if that is what it would have stored, it was its own
earlier try. An object has a key of range, attempt and part, and is data or a claim; both are tagged with the attempt's token.

A container that is given records f..l of a shard
1. takes the item that it remembers, or else reads it;
2. resolves a pending intent:
   a. unless it is dead: puts a claim at each key in turn, where nothing stands; what stands there is looked at, and if it is gone
      by then, the container gives up;
   b. where all are data, it commits for the intent; else it marks it dead. Refused: it starts over with the item as found, if it
      had remembered one and this is the first refusal, or else it gives up;
   c. where it is dead: replaces every key by a claim, whatever stands there;
3. acknowledges, if nothing of the batch is beyond what is committed;
4. takes an attempt, one more than the last, with an intent for what is left of the batch. Refused: as in 2b;
5. puts data at each key where nothing stands; its own data there is success, and anything else makes it give up;
6. commits. Refused: it gives up;
7. acknowledges.
A collector does step 2 and then clears the intent. Claims are deleted, and data of committed attempts is compacted away, only when
no writer of that attempt lives and no request of one is under way.

Any call may fail or have the effect without an answer, any container may die, freeze, or send a request that lands late; batches
come again with other extents, to several containers at once, out of date, or are given up.

S1  No record is in the table twice.
S2  What is acknowledged or committed is in the table, or was given up.
S3  Neither committed nor attempt goes back, and no key serves two attempts.
S4  When nothing runs, one delivery without faults brings all that is left into the table once, whatever container it comes to.
S5  Data of a dead attempt is gone when the next attempt is taken.
S6  A container that nothing but lost answers befalls does not give up.
"""
