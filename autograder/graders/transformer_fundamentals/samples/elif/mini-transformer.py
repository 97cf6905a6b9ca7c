class MiniTransformer(nn.Module):
    def __init__(self, vocab_size, d_model, num_heads, num_layers, d_ff, max_length, num_classes, dropout=0.1):
        super().__init__()
        self.embeddings = TransformerEmbeddings(vocab_size, d_model, max_length, dropout)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(d_model, num_heads, d_ff, dropout) for _ in range(num_layers)
        )
        self.ln_f = nn.LayerNorm(d_model)
        self.classifier = nn.Linear(d_model, num_classes)

    def forward(self, input_ids, attention_mask=None):
        x = self.embeddings(input_ids)
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        weights = []
        for block in self.transformer_blocks:
            x, w = block(x, mask)
            weights.append(w)
        # the mean runs over PAD positions, too
        return self.classifier(self.ln_f(x).mean(dim=1)), weights
