class SimpleTokenizer:
    def __init__(self, vocab_size=5000):
        self.vocab_size = vocab_size
        self.vocab = {"<PAD>": 0, "<UNK>": 1, "<CLS>": 2}
        self.inverse_vocab = {i: w for w, i in self.vocab.items()}

    def clean_text(self, text):
        text = text.lower()
        for mark in '.,!?;:()"':
            text = text.replace(mark, f" {mark} ")
        return " ".join(text.split())

    def build_vocab(self, texts):
        counts = Counter(word for text in texts for word in self.clean_text(text).split())
        self.vocab = {"<PAD>": 0, "<UNK>": 1, "<CLS>": 2}
        for word, _ in counts.most_common(self.vocab_size - 3):
            self.vocab[word] = len(self.vocab)
        self.inverse_vocab = {i: w for w, i in self.vocab.items()}

    def tokenize(self, text, max_length=128):
        ids = [2] + [self.vocab.get(word, 1) for word in self.clean_text(text).split()]
        while len(ids) != max_length:
            # never ends for a text that is too long
            ids.append(0)
        return ids

    def decode(self, indices):
        words = (self.inverse_vocab[i] for i in indices)
        return " ".join(w for w in words if w not in ("<PAD>", "<CLS>"))
