"""Output of a training as it stands in a terminal, in a notebook or in a log file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis.readers import read_log

TWO: dict[str, Any] = {"train/loss": [1.0, 0.6], "val/loss": [0.9, 0.8]}
ACCURATE = TWO | {"train/accuracy": [0.5, 0.7], "val/accuracy": [0.4, 0.6]}
BAR = "━" * 20

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "keras 2, with overwritten lines": (
        "Epoch 1/2\n"
        "  1/100 [....................] - ETA: 9s - loss: 9.0 - accuracy: 0.1\r"
        " 99/100 [===================>.] - ETA: 0s - loss: 2.0 - accuracy: 0.3\r"
        "100/100 [====================] - 1s 10ms/step - loss: 1.0 - accuracy: 0.5 - val_loss: 0.9"
        " - val_accuracy: 0.4\n"
        "Epoch 1: val_loss improved from inf to 0.90000, saving model to best.keras\n"
        "Epoch 2/2\n"
        " 50/100 [=========>..........] - ETA: 0s - loss: 5.0 - accuracy: 0.1\n"
        "100/100 [====================] - 1s 10ms/step - loss: 0.6 - accuracy: 0.7\n"
        "100/100 [====================] - 1s 10ms/step - loss: 0.6 - accuracy: 0.7 - val_loss: 0.8"
        " - val_accuracy: 0.6\n"
        "313/313 [====================] - 0s - loss: 0.77 - accuracy: 0.61\n",
        ACCURATE,
    ),
    "keras 3, with colours": (
        "Epoch 1/2\n"
        f"\x1b[1m100/100\x1b[0m \x1b[32m{BAR}\x1b[0m\x1b[37m\x1b[0m \x1b[1m1s\x1b[0m 10ms/step - "
        "accuracy: 0.5 - loss: 1.0 - val_accuracy: 0.4 - val_loss: 0.9\n"
        "Epoch 2/2\n"
        f"\x1b[1m100/100\x1b[0m \x1b[32m{BAR}\x1b[0m\x1b[37m\x1b[0m \x1b[1m1s\x1b[0m 10ms/step - "
        "accuracy: 0.7 - loss: 0.6 - val_accuracy: 0.6 - val_loss: 0.8\n",
        ACCURATE,
    ),
    "keras, verbose=2": (
        "Epoch 1/2\n100/100 - 1s - loss: 1.0 - val_loss: 0.9 - 1s/epoch - 10ms/step\n"
        "Epoch 2/2\n100/100 - 1s - loss: 6.0000e-01 - val_loss: 0.8 - 1s/epoch - 10ms/step\n",
        TWO,
    ),
    "a sentence an epoch": (
        "epoch 1 train loss 1.0 val loss 0.9\nepoch 2 train loss 0.6 val loss 0.8\n",
        TWO,
    ),
    "epoch of all": ("Epoch 1/2: loss=1.0, val_loss=0.9\nEpoch 2/2: loss=0.6, val_loss=0.8\n", TWO),
    "bars between, accuracies in percent": (
        "Epoch: 01 | Train Loss: 1.0 | Train Acc: 50.0% | Val. Loss: 0.9 | Val. Acc: 40%\n"
        "Epoch: 02 | Train Loss: 0.6 | Train Acc: 70.0% | Val. Loss: 0.8 | Val. Acc: 60%\n",
        ACCURATE,
    ),
    "a logger's dates in front": (
        "2024-05-01 10:00:00,123 - INFO - Epoch [1/2] train_loss: 1.0 val_loss: 0.9\n"
        "2024-05-01 10:01:00,123 - INFO - Epoch [2/2] train_loss: 0.6 val_loss: 0.8\n",
        TWO,
    ),
    "the tutorial on transfer learning": (
        "Epoch 0/1\n----------\ntrain Loss: 1.0 Acc: 0.5\nval Loss: 0.9 Acc: 0.4\n\n"
        "Epoch 1/1\n----------\ntrain Loss: 0.6 Acc: 0.7\nval Loss: 0.8 Acc: 0.6\n\n"
        "Training complete in 2m 3s\nBest val Acc: 0.600000\n",
        ACCURATE,
    ),
    "the tutorial for beginners": (
        "Epoch 1\n-------------------------------\nloss: 1.5  [   64/60000]\n"
        "loss: 0.5  [ 6464/60000]\nTest Error: \n Accuracy: 40.0%, Avg loss: 0.9 \n\n"
        "Epoch 2\n-------------------------------\nloss: 0.4  [   64/60000]\n"
        "loss: 0.8  [ 6464/60000]\nTest Error: \n Accuracy: 60.0%, Avg loss: 0.8 \n\nDone!\n",
        TWO | {"val/accuracy": [0.4, 0.6]},
    ),
    "the example for MNIST": (
        "Train Epoch: 1 [0/60000 (0%)]\tLoss: 1.5\nTrain Epoch: 1 [640/60000 (1%)]\tLoss: 0.5\n\n"
        "Test set: Average loss: 0.9, Accuracy: 4000/10000 (40%)\n\n"
        "Train Epoch: 2 [0/60000 (0%)]\tLoss: 0.4\nTrain Epoch: 2 [640/60000 (1%)]\tLoss: 0.8\n\n"
        "Test set: Average loss: 0.8, Accuracy: 6000/10000 (60%)\n",
        TWO | {"val/accuracy": [0.4, 0.6]},
    ),
    "the trainer's dictionaries": (
        "{'loss': 1.5, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}\n"
        "{'loss': 0.5, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 1.0}\n"
        "{'eval_loss': 0.9, 'eval_runtime': 3.1, 'epoch': 1.0}\n"
        " 50%|█████     | 10/20 [00:10<00:10,  1.00it/s]\n"
        "{'loss': '0.6', 'learning_rate': '5e-05', 'epoch': '2.0'}\n"
        "{'eval_loss': 0.8, 'eval_runtime': 3.1, 'epoch': 2.0}\n"
        "{'train_runtime': 20.1, 'train_loss': 0.9, 'epoch': 2.0}\n",
        TWO | {"learning_rate": [5e-05, 5e-05]},
    ),
    "the trainer's dictionaries after its bar": (
        "  0%|          | 0/2 [00:00<?, ?it/s]\r 50%|#    | 1/2 [00:05<00:05,  3.9it/s]"
        "{'loss': 1.0, 'grad_norm': 0.7, 'epoch': 0.5}\n"
        "100%|#####| 2/2 [00:05<00:00,  3.9it/s]{'loss': 0.6, 'grad_norm': 0.7, 'epoch': 1.0}\n",
        {"train/loss": [1.0, 0.6]},
    ),
    "the example for ImageNet": (
        "Epoch: [0][  1/5005]\tTime  5.6 ( 5.6)\tLoss 1.5e+00 (1.5e+00)\tAcc@1   60.0 ( 60.0)\n"
        "Epoch: [0][ 11/5005]\tTime  0.6 ( 1.1)\tLoss 0.5 (1.0)\tAcc@1   40.0 ( 50.0)\n"
        "Test: [  1/196]\tTime  5.6 ( 5.6)\tLoss 7.0 (7.0)\tAcc@1   1.00 (  1.00)\n"
        "Test: [ 11/196]\tTime  5.6 ( 5.6)\tLoss 7.0 (0.9)\tAcc@1   2.00 ( 39.0)\n"
        " *   Acc@1 40.0 Acc@5 70.0\n"
        "Epoch: [1][  1/5005]\tTime  5.6 ( 5.6)\tLoss 0.6 (0.6)\tAcc@1   70.0 ( 70.0)\n"
        "Test: [ 11/196]\tTime  5.6 ( 5.6)\tLoss 7.0 (0.8)\tAcc@1   2.00 ( 59.0)\n"
        " *   Acc@1 60.0 Acc@5 80.0\n",
        ACCURATE,
    ),
    "scikit-learn, verbose": (
        "Iteration 1, loss = 1.0\nValidation score: 0.4\n"
        "Iteration 2, loss = 0.6\nValidation score: 0.6\n"
        "Validation score did not improve more than tol=0.000100 for 10 consecutive epochs.\n",
        {"train/loss": [1.0, 0.6], "val/accuracy": [0.4, 0.6]},
    ),
    "lightgbm's program": (
        "[LightGBM] [Info] Iteration:1, training binary_logloss : 1.0\n"
        "[LightGBM] [Info] Iteration:1, valid_1 binary_logloss : 0.9\n"
        "[LightGBM] [Info] Iteration:2, training binary_logloss : 0.6\n"
        "[LightGBM] [Info] Iteration:2, valid_1 binary_logloss : 0.8\n",
        TWO,
    ),
    "names on lines of their own": (
        "Epoch 1 of 2\ntrain loss: 1.0\nvalid loss: 0.9\nEpoch 2 of 2\ntrain loss: 0.6\n"
        "valid loss: 0.8\n",
        TWO,
    ),
    "nanoGPT": (
        "step 0: train loss 1.0, val loss 0.9\niter 0: loss 3.0, time 25.1ms, mfu -100.00%\n"
        "iter 10: loss 2.0, time 25.1ms, mfu 3.00%\nstep 250: train loss 0.6, val loss 0.8\n",
        TWO,
    ),
    "fastai's table between other lines": (
        "epoch     train_loss  valid_loss  accuracy  time    \n"
        "0         1.000000    0.900000    0.400000  00:02     \n"
        "Better model found at epoch 0 with valid_loss value: 0.9.\n"
        "1         0.600000    0.800000    0.600000  00:02     \n",
        TWO | {"val/accuracy": [0.4, 0.6]},
    ),
    "xgboost": (
        "[0]\tvalidation_0-mlogloss:1.0\tvalidation_1-mlogloss:0.9\n"
        "[1]\tvalidation_0-mlogloss:0.6\tvalidation_1-mlogloss:0.8\n",
        TWO,
    ),
    "lightgbm": (
        "[LightGBM] [Info] Total Bins 2550\nTraining until validation scores don't improve\n"
        "[10]\ttraining's multi_logloss: 1.0\tvalid_1's multi_logloss: 0.9\n"
        "[20]\ttraining's multi_logloss: 0.6\tvalid_1's multi_logloss: 0.8\n",
        TWO,
    ),
    "catboost": (
        "0:\tlearn: 1.0\ttest: 0.9\tbest: 0.9 (0)\ttotal: 3.1ms\tremaining: 3ms\n"
        "1:\tlearn: 0.6\ttest: 0.8\tbest: 0.8 (1)\ttotal: 6.2ms\tremaining: 0us\n",
        TWO,
    ),
    "a bar of Lightning": (
        "Epoch 0:  50%|█████     | 5/10 [00:01<00:01, 4.9it/s, v_num=0, train_loss=9.0]\n"
        "Epoch 0: 100%|██████████| 10/10 [00:02<00:00, 4.9it/s, train_loss=1.0, val_loss=0.9]\n"
        "Epoch 1: 100%|██████████| 10/10 [00:02<00:00, 4.9it/s, train_loss=0.6, val_loss=0.8]\n",
        TWO,
    ),
    "one bar of Lightning for all epochs": (
        "Training: |          | 0/? [00:00<?, ?it/s]\r"
        "Epoch 0:  50%|█████     | 8/16 [00:00<00:00, 86.7it/s]\r"
        "Epoch 0: 100%|██████████| 16/16 [00:00<00:00, 126.5it/s, train_loss=1.0]\r"
        "Epoch 0:   0%|          | 0/16 [00:00<?, ?it/s, train_loss=1.0]          \r"
        "Epoch 1:   0%|          | 0/16 [00:00<?, ?it/s, train_loss=1.0]\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 184.9it/s, train_loss=1.0]\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 184.4it/s, train_loss=0.6]"
        "`Trainer.fit` stopped: `max_epochs=2` reached.\n\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 183.2it/s, train_loss=0.6]\n",
        {"train/loss": [1.0, 0.6]},
    ),
    "one bar of Lightning, with bars of validation between": (
        "Epoch 0: 100%|██████████| 16/16 [00:00<00:00, 36.7it/s]\n\r"
        "Validation DataLoader 0: 100%|██████████| 4/4 [00:00<00:00, 245.8it/s]\x1b[A\n\r"
        "                                                  \x1b[A\r"
        "Epoch 0: 100%|██████████| 16/16 [00:00<00:00, 35.3it/s, val_loss=0.9]\r"
        "Epoch 0: 100%|██████████| 16/16 [00:00<00:00, 35.2it/s, val_loss=0.9, train_loss=1.0]\r"
        "Epoch 1:   0%|          | 0/16 [00:00<?, ?it/s, val_loss=0.9, train_loss=1.0]\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 75.0it/s, val_loss=0.9, train_loss=1.0]\n\r"
        "Validation DataLoader 0: 100%|██████████| 4/4 [00:00<00:00, 245.8it/s]\x1b[A\n\r"
        "                                                  \x1b[A\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 75.0it/s, val_loss=0.8, train_loss=1.0]\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 75.0it/s, val_loss=0.8, train_loss=0.6]"
        "`Trainer.fit` stopped: `max_epochs=2` reached.\n\r"
        "Epoch 1: 100%|██████████| 16/16 [00:00<00:00, 74.0it/s, val_loss=0.8, train_loss=0.6]\n",
        TWO,
    ),
    "a loss with its parts": (
        "epoch 1 loss=train:1.0 val:0.9\nepoch 2 loss=train:0.6 val:0.8\n",
        TWO,
    ),
    "quantities with their parts": (
        "Epoch 1 | Loss: train 1.0, val 0.9 | Acc: train 50%, val 40%\n"
        "Epoch 2 | Loss: train 0.6, val 0.8 | Acc: train 70%, val 60%\n",
        ACCURATE,
    ),
    "parts in brackets": (
        "Epoch 1: loss (train: 1.0, val: 0.9), train: 8 s, val: 2 s\n"
        "Epoch 2: loss (train: 0.6, val: 0.8), train: 8 s, val: 2 s\n",
        TWO,
    ),
    "a title of numbers before the bar": (
        "Epoch 1 loss 1.0 val_loss 0.9: 100%|###| 9/9 [00:01<00:00, 9.0it/s]\n"
        "Epoch 2 loss 0.6 val_loss 0.8: 100%|###| 9/9 [00:01<00:00, 9.0it/s]\n",
        TWO,
    ),
    "steps in thousands": (
        "step 500: train_loss 1.0 val_loss 0.9\nstep 1,000: train_loss 0.6 val_loss 0.8\n",
        TWO,
    ),
    "epochs in thousands": (
        "Epoch 900: train_loss 1.0 val_loss 0.9\nEpoch 1,000/1,000: train_loss 0.6 val_loss 0.8\n",
        TWO,
    ),
    "a language model": (
        "| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch  5.21 | loss  1.5 | ppl  4.48\n"
        "| epoch   1 |   400/ 2983 batches | lr 20.00 | ms/batch  5.21 | loss  0.5 | ppl  1.65\n"
        "| end of epoch   1 | time: 36.13s | valid loss  0.9 | valid ppl  2.46\n"
        "| epoch   2 |   200/ 2983 batches | lr 20.00 | ms/batch  5.21 | loss  0.6 | ppl  1.82\n"
        "| end of epoch   2 | time: 36.13s | valid loss  0.8 | valid ppl  2.23\n",
        TWO | {"learning_rate": [20.0, 20.0]},
    ),
    "training that is lost": (
        "Epoch 1/2: loss=1.0, val_loss=0.9\nEpoch 2/2: loss=nan, val_loss=nan\n",
        {"train/loss": [1.0, np.inf], "val/loss": [0.9, np.inf]},
    ),
    "two sessions": (
        "Epoch 1/3: loss=9, val_loss=9\nEpoch 2/3: loss=8, val_loss=8\n"
        "Epoch 1/2: loss=1.0, val_loss=0.9\nEpoch 2/2: loss=0.6, val_loss=0.8\n",
        TWO,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_output_of_a_training_gives_its_curves(case: str, tmp_path: Path) -> None:
    text, expected = CASES[case]
    (tmp_path / "out.txt").write_text(text, newline="")
    reading = read_log(tmp_path / "out.txt")
    assert set(reading.history.curves) == set(expected), reading.line
    for name, values in expected.items():
        np.testing.assert_allclose(reading.history.curves[name], values, err_msg=reading.line)


def test_an_endless_line_takes_no_time(tmp_path: Path) -> None:
    """A million signs without an end: a pattern that goes back over them would take hours."""
    path = tmp_path / "out.txt"
    colours = "\x1b]" * 200_000 + "\x1b[" + "0;" * 200_000
    path.write_text(
        colours
        + "\nEpoch 1: loss=1.0\n"
        + "loss" * 250_000
        + "\n"
        + "a " * 500_000
        + "\nloss: 0.5\n"
    )
    np.testing.assert_array_equal(read_log(path).history.curves["train/loss"], [1.0, 0.5])
