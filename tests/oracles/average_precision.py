"""Average precision by its protocol: one prediction after another, in plain lists."""


def average_precision(confidence, distance, threshold):
    """``confidence[s][k]`` and ``distance[s][object][k]`` of sets ``s``; a number."""
    predictions = [
        (-certainty, s, k)
        for s, row in enumerate(confidence)
        for k, certainty in enumerate(row)
    ]
    found, curve = set(), []
    for rank, (_, s, k) in enumerate(sorted(predictions), start=1):
        options = [(rows[k], number) for number, rows in enumerate(distance[s])]
        options = [each for each in options if each[0] < float("inf")]
        if options and min(options)[0] <= threshold:
            found.add((s, min(options)[1]))
        curve.append((len(found), len(found) / rank))
    num_objects = sum(len(rows) for rows in distance)
    total = 0.0
    for number in range(1, len(found) + 1):
        total += max(precision for recall, precision in curve if recall >= number)
    return total / num_objects
