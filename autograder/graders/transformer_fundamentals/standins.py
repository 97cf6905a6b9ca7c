"""Stand-ins for every upstream component, written from torch's own building blocks.

They go into the worker in place of upstream components that lost points, so that one mistake costs points once. They
hold no expected value. Whoever changes the contract changes them with it; a test compares them with the reference.
"""

import torch
from torch import nn
from torch.nn import functional as F


class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding.from_pretrained(torch.randn(vocab_size, d_model) / d_model**0.5, freeze=False)

    def forward(self, x):
        return torch.mul(self.embedding(x), self.d_model**0.5)


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_length=512):
        super().__init__()
        speed = torch.logspace(0, -4, d_model // 2 + 1, dtype=torch.float64)[:-1]
        angle = torch.outer(torch.arange(max_length, dtype=torch.float64), speed)
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float())

    def forward(self, x):
        return torch.add(x, self.pe.narrow(0, 0, x.shape[1]))


class TransformerEmbeddings(nn.Module):
    def __init__(self, vocab_size, d_model, max_length=512, dropout=0.1):
        super().__init__()
        self.token_embedding = TokenEmbedding(vocab_size, d_model)
        self.pos_encoding = PositionalEncoding(d_model, max_length)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.pos_encoding(self.token_embedding(x)))


def scaled_dot_product_attention(Q, K, V, mask=None, dropout=None):
    scores = torch.einsum("...qd,...kd->...qk", Q, K).mul(Q.shape[-1] ** -0.5)
    if mask is not None:
        scores = torch.where(mask.bool(), scores, float("-inf"))
    weights = scores.softmax(-1)
    kept = weights if dropout is None else dropout(weights)
    return torch.einsum("...qk,...kv->...qv", kept, V), weights


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.1):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("d_model must be divisible by num_heads")
        self.num_heads, self.d_k = num_heads, d_model // num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        split = (self.num_heads, self.d_k)
        q, k, v = (w(x).unflatten(-1, split).movedim(-2, 1) for w in (self.W_q, self.W_k, self.W_v))
        out, weights = scaled_dot_product_attention(q, k, v, mask, self.dropout)
        return self.W_o(out.movedim(1, -2).flatten(-2)), weights


class LayerNorm(nn.Module):
    def __init__(self, features, eps=1e-6):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x):
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta, self.eps)


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, dropout=0.1):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.linear2(self.dropout(self.linear1(x).clamp(min=0)))


class TransformerBlock(nn.Module):
    def __init__(self, d_model, num_heads, d_ff, dropout=0.1):
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout)
        self.norm1, self.norm2 = LayerNorm(d_model), LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        heard, weights = self.attention(x, mask)
        x = self.norm1(self.dropout(heard).add(x))
        return self.norm2(self.dropout(self.feed_forward(x)).add(x)), weights


class MiniTransformer(nn.Module):
    def __init__(self, vocab_size, d_model, num_heads, num_layers, d_ff, max_length, num_classes, dropout=0.1):
        super().__init__()
        self.embeddings = TransformerEmbeddings(vocab_size, d_model, max_length, dropout)
        blocks = [TransformerBlock(d_model, num_heads, d_ff, dropout) for _ in range(num_layers)]
        self.transformer_blocks = nn.ModuleList(blocks)
        self.ln_f = LayerNorm(d_model)
        self.classifier = nn.Linear(d_model, num_classes)

    def forward(self, input_ids, attention_mask=None):
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        x, maps = self.embeddings(input_ids), []
        for block in self.transformer_blocks:
            x, weights = block(x, real[:, None, None])
            maps.append(weights)
        share = real / real.sum(-1, keepdim=True)
        return self.classifier(torch.einsum("bt,btd->bd", share.to(x.dtype), self.ln_f(x))), maps
