"""What `pipeline --help` prints."""

HELP = """\
pipeline <command> [group=option] [key=value] ...

  download     fetch a data set, every file checked against its official checksum
  preprocess   split it, measure it, fit two cheap baselines
  train        train a model; -m sweeps: every combination of values, or n_trials=50 by Optuna
  evaluate     measure a trained model on the untouched test set and on other data
  diagnose     say why a run is not better, with evidence and remedies: name=<model>, run=<MLflow id>
               or history=<file of curves> [num_classes=10] [output=json]; probe=true (of a model) settles
               what curves leave open by short runs from its weights [probe_epochs=1]
  verify       prove a remedy: paired seeds against the run as it was, a reseed and random search
               name=<model> or run=<MLflow id> [remedies=[dropout,augment]] [seeds=5] [budget=<runs>] [n_jobs=2]
  heal         diagnose, verify, adopt what is confirmed, again until healthy: name= or run= [rounds=3] …
  reproduce    train a recorded run again: the same weights, bit for bit? name=<model> or run=<MLflow id>
  compare      several runs in one picture, and how they ended: study=<name>, names=[<model>,<model>] or a
               multirun's folder [metric=loss|val/accuracy|gradients|time_gradients|…]
  predict      name the digit in pictures: <picture or folder> … [name=cnn] [raw=true]
               [output=json], or [output=inputs]: what a server of the model takes (docs/serve.md)
  report       write results/report.html
  sweep-report write results/sweeps/<study>/report.html and conf/experiment/<study>_best.yaml
               study=<name> [storage=<url>] [retrain=true] [seeds=5]
  ui           open the record of all runs (MLflow) on 127.0.0.1; port=5000

Examples
  pipeline train model=cnn optimizer=sgd optimizer.learning_rate=0.05
  pipeline train experiment=tutorial_cnn seed=1
  pipeline train -m model=mlp,cnn model.dropout=0.0,0.5
  pipeline train -m sweep=regularization n_trials=50 n_jobs=2
  pipeline train -m sweep=all n_trials=500 n_jobs=16 hydra/launcher=slurm \\
      storage=postgresql://<user>@<host>/<database>       (docs/scale.md)
  pipeline train debug=overfit_batch
  pipeline sweep-report study=<name as the sweep printed it> retrain=true
  pipeline evaluate name=mlp
  pipeline diagnose name=mlp
  pipeline verify name=mlp
  pipeline compare study=<name as the sweep printed it> metric=gradients
  pipeline predict digit.png name=cnn

Groups and their options are the folders and files of conf/:
  data augment model activation init loss penalty optimizer schedule trainer precision
  tracking signals evaluation experiment sweep debug
`pipeline train --cfg job` prints the composed configuration and runs nothing.
"""
