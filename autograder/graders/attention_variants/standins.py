"""Conforming stand-ins for every component that another one rests on, written from torch's own blocks.

They go into the worker in place of upstream components that lost points, so that one mistake costs points once. They
hold no expected value. Whoever changes the contract changes them with it; a test compares them with the reference.
`PositionalEncoding` and `FeedForward` are given in the notebook; they stand here because this file is run by itself.
"""

import torch
from torch import nn
from torch.nn import functional as F


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_length):
        super().__init__()
        speed = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) / d_model * -(torch.tensor(1e4).log()))
        angle = torch.outer(torch.arange(max_length, dtype=torch.float64), speed)
        table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :d_model]
        self.register_buffer("pe", table.float())

    def forward(self, x):
        return torch.add(x, self.pe.narrow(0, 0, x.shape[1]))


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, dropout=0.1, activation="relu"):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)
        self.act = nn.GELU() if activation == "gelu" else nn.ReLU()

    def forward(self, x):
        return self.linear2(self.dropout(self.act(self.linear1(x))))


def causal_mask(size, device=None):
    place = torch.arange(size, device=device)
    return place.unsqueeze(1).ge(place)


def padding_mask(token_ids, pad_id=0):
    return token_ids.ne(pad_id).unsqueeze(1).unsqueeze(1)


def mixed(q, k, v, mask, dropout):
    """Attention of q (B, h, Tq, d_k) over as many or fewer heads of keys and values."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = torch.einsum("bhqd,bhkd->bhqk", q * q.shape[-1] ** -0.5, k)
    if mask is not None:
        scores = torch.where(mask.bool(), scores, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    return torch.einsum("bhqk,bhkd->bhqd", dropout(weights), v), weights


class GroupedQueryAttention(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads, dropout=0.1):
        super().__init__()
        if d_model % n_heads or n_heads % n_kv_heads:
            raise ValueError("n_heads must divide d_model, and n_kv_heads n_heads")
        self.n_heads, self.n_kv_heads, self.d_k = n_heads, n_kv_heads, d_model // n_heads
        self.w_q = nn.Linear(d_model, d_model, bias=False)
        self.w_k = nn.Linear(d_model, n_kv_heads * self.d_k, bias=False)
        self.w_v = nn.Linear(d_model, n_kv_heads * self.d_k, bias=False)
        self.w_o = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            w(x).unflatten(-1, (n, self.d_k)).movedim(-2, 1)
            for w, x, n in (
                (self.w_q, query, self.n_heads),
                (self.w_k, key, self.n_kv_heads),
                (self.w_v, value, self.n_kv_heads),
            )
        )
        out, weights = mixed(q, k, v, mask, self.dropout)
        return self.w_o(out.movedim(1, -2).flatten(-2)), weights


class MultiQueryAttention(GroupedQueryAttention):
    def __init__(self, d_model, n_heads, dropout=0.1):
        super().__init__(d_model, n_heads, 1, dropout)


class MultiHeadAttention(GroupedQueryAttention):
    def __init__(self, d_model, n_heads, dropout=0.1):
        super().__init__(d_model, n_heads, n_heads, dropout)


class TransformerEncoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.1, norm_first=False, activation="relu"):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout, activation)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.before = norm_first

    def forward(self, x, mask=None):
        for norm, sublayer in ((self.norm1, self.heard), (self.norm2, self.feed_forward)):
            if sublayer == self.heard:
                added = self.heard(norm(x) if self.before else x, mask)
            else:
                added = self.feed_forward(norm(x) if self.before else x)
            x = self.dropout(added).add(x)
            x = x if self.before else norm(x)
        return x

    def heard(self, x, mask):
        return self.self_attention(x, x, x, mask)[0]


class TransformerDecoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.1):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout)
        self.feed_forward = FeedForward(d_model, d_ff, dropout)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d_model), nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, encoder_output, src_mask=None, tgt_mask=None):
        heard = self.self_attention(x, x, x, tgt_mask)[0]
        x = self.norm1(self.dropout(heard).add(x))
        heard = self.cross_attention(x, encoder_output, encoder_output, src_mask)[0]
        x = self.norm2(self.dropout(heard).add(x))
        return self.norm3(self.dropout(self.feed_forward(x)).add(x))


class Transformer(nn.Module):
    def __init__(
        self,
        vocab_size,
        d_model=512,
        n_heads=8,
        n_encoder_layers=6,
        n_decoder_layers=6,
        d_ff=2048,
        max_seq_length=512,
        dropout=0.1,
        pad_id=0,
    ):
        super().__init__()
        self.pad_id = pad_id
        spread = d_model**-0.5
        self.src_embedding, self.tgt_embedding = (
            nn.Embedding.from_pretrained(torch.randn(vocab_size, d_model) * spread, freeze=False) for _ in range(2)
        )
        self.positional_encoding = PositionalEncoding(d_model, max_seq_length)
        self.dropout = nn.Dropout(dropout)
        sizes = (d_model, n_heads, d_ff, dropout)
        self.encoder_layers = nn.ModuleList([TransformerEncoderLayer(*sizes) for _ in range(n_encoder_layers)])
        self.decoder_layers = nn.ModuleList([TransformerDecoderLayer(*sizes) for _ in range(n_decoder_layers)])
        self.output_projection = nn.Linear(d_model, vocab_size)

    def _read(self, table, ids):
        scaled = torch.mul(table(ids), table.embedding_dim**0.5)
        return self.dropout(self.positional_encoding(scaled))

    def encode(self, src, src_mask=None):
        mask = padding_mask(src, self.pad_id) if src_mask is None else src_mask
        x = self._read(self.src_embedding, src)
        for layer in self.encoder_layers:
            x = layer(x, mask)
        return x

    def decode(self, tgt, encoder_output, src_mask=None, tgt_mask=None):
        if tgt_mask is None:
            tgt_mask = padding_mask(tgt, self.pad_id).logical_and(causal_mask(tgt.shape[1], tgt.device))
        x = self._read(self.tgt_embedding, tgt)
        for layer in self.decoder_layers:
            x = layer(x, encoder_output, src_mask, tgt_mask)
        return x

    def forward(self, src, tgt, src_mask=None, tgt_mask=None):
        mask = padding_mask(src, self.pad_id) if src_mask is None else src_mask
        return self.output_projection(self.decode(tgt, self.encode(src, mask), mask, tgt_mask))


class GPTTransformer(nn.Module):
    def __init__(self, vocab_size, d_model=768, n_heads=12, n_layers=12, d_ff=None, max_seq_length=1024, dropout=0.1):
        super().__init__()
        self.max_seq_length = max_seq_length
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_seq_length, d_model)
        self.dropout = nn.Dropout(dropout)
        width = 4 * d_model if d_ff is None else d_ff
        self.transformer_blocks = nn.ModuleList(
            [TransformerEncoderLayer(d_model, n_heads, width, dropout, True, "gelu") for _ in range(n_layers)]
        )
        self.layer_norm = nn.LayerNorm(d_model)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, input_ids, attention_mask=None):
        if input_ids.shape[1] > self.max_seq_length:
            raise ValueError("the text is longer than max_seq_length")
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask.ne(0).long()
        place = real.cumsum(1).sub(1).clamp(min=0)
        mask = causal_mask(input_ids.shape[1], input_ids.device).logical_and(real[:, None, None])
        x = self.dropout(self.token_embedding(input_ids).add(self.position_embedding(place)))
        for block in self.transformer_blocks:
            x = block(x, mask)
        return F.linear(self.layer_norm(x), self.token_embedding.weight)


class TransformerTrainer:
    def __init__(self, model, max_norm=1.0):
        self.model, self.max_norm = model, max_norm

    def compute_loss(self, input_ids, labels=None, attention_mask=None):
        if labels is None:
            labels = input_ids if attention_mask is None else torch.where(attention_mask.ne(0), input_ids, -100)
        predictions = self.model(input_ids, attention_mask)[:, :-1].transpose(1, 2)  # (B, V, T - 1)
        return nn.CrossEntropyLoss(ignore_index=-100)(predictions, labels[:, 1:])

    def train_step(self, batch, optimizer):
        device = next(self.model.parameters()).device
        keys = ("input_ids", "labels", "attention_mask")
        ids, labels, mask = (None if batch.get(key) is None else batch[key].to(device) for key in keys)
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        optimizer.zero_grad()
        loss = self.compute_loss(ids, labels, mask)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        optimizer.step()
        return float(loss.detach())
