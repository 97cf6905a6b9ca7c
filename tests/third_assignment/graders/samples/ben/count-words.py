def count_words(text):
    return {word: 1 for word in text.split()}
