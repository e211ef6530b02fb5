"""Wrong values for every key of every config, and what is said to each.

A row is an override, where needed after the choice that has the key, and how the answer begins.
"""

from __future__ import annotations

KEYS = [
    # trainer
    ("trainer.length=10", "trainer.length=10: '10' is not a duration"),
    ("trainer.length=0 epochs", "trainer.length=0 epochs must be above 0"),
    (
        "trainer.length=50%",
        "trainer.length=50%: '50%' is not a duration here: write ",
    ),
    ("trainer.length=null", "trainer.length=None must be of type str"),
    ("trainer.length=-5 epochs", "trainer.length=-5 epochs: '-5 epochs' is not a duration"),
    ("trainer.length=5 hours", "trainer.length=5 hours: '5 hours' is not a duration"),
    (
        "trainer.length=1.5 steps",
        "trainer.length=1.5 steps: '1.5 steps' is not a whole number of steps",
    ),
    ("trainer.batch_size=0", "trainer.batch_size=0 must be from 1 to 2147483647"),
    ("trainer.batch_size=1.5", "trainer.batch_size=1.5 must be of type int"),
    ("trainer.batch_size=many", "trainer.batch_size=many must be of type int"),
    (
        "trainer.gradient_accumulation_steps=3",
        "trainer.gradient_accumulation_steps=3 must divide batch_size=64",
    ),
    (
        "trainer.gradient_accumulation_steps=0",
        "trainer.gradient_accumulation_steps=0 must be from 1 to 2147483647",
    ),
    ("trainer.eval_batch_size=0", "trainer.eval_batch_size=0 must be from 1 to 2147483647"),
    ("trainer.eval_batch_size=null", "trainer.eval_batch_size=None must be of type int"),
    ("trainer.eval_interval=often", "trainer.eval_interval=often: 'often' is not a duration"),
    ("trainer.eval_interval=0 steps", "trainer.eval_interval=0 steps must be above 0"),
    ("trainer.log_interval=5", "trainer.log_interval=5: '5' is not a duration"),
    ("trainer.log_interval=0%", "trainer.log_interval=0% must be above 0"),
    (
        "trainer.checkpoint_interval_seconds=-1",
        "trainer.checkpoint_interval_seconds=-1.0 must be 0 or above",
    ),
    (
        "trainer.checkpoint_interval_seconds=nan",
        "trainer.checkpoint_interval_seconds=nan must be 0 or above",
    ),
    (
        "trainer.checkpoint_interval_seconds=often",
        "trainer.checkpoint_interval_seconds=often must be of type float",
    ),
    ("trainer.max_grad_norm=0", "trainer.max_grad_norm=0.0 must be above 0 and finite"),
    ("trainer.max_grad_norm=inf", "trainer.max_grad_norm=inf must be above 0 and finite"),
    ("trainer.max_grad_norm=big", "trainer.max_grad_norm=big must be of type float | None"),
    ("trainer.record_grad_norm=perhaps", "trainer.record_grad_norm=perhaps must be of type bool"),
    ("task.label_smoothing=1", "task.label_smoothing=1.0 must be at least 0 and below 1"),
    ("task.label_smoothing=-0.1", "task.label_smoothing=-0.1 must be at least 0 and below 1"),
    ("task=regression task.standardise=2", "task.standardise=2 must be of type bool"),
    (
        "task=by_targets task.classification.label_smoothing=2",
        "task.classification.label_smoothing=2.0 must be at least 0 and below 1",
    ),
    ("task=by_targets task.classification=3", "task.classification=3 must be of type Classific"),
    ("task=by_targets task.regression=null", "task.regression=None must be of type Regression"),
    ("trainer.precision=fp8", "trainer.precision=fp8 is not one of auto, bf16_if_native"),
    ("trainer.precision=null", "trainer.precision=None must be of type str"),
    ("trainer.compile=2", "trainer.compile=2 must be of type bool | str"),
    ("trainer.compile=yes please", "trainer.compile=yes please must be true, false or auto"),
    ("trainer.channels_last=maybe", "trainer.channels_last=maybe must be of type bool"),
    ("trainer.device=[cpu]", "trainer.device=['cpu'] must be of type str"),
    ("trainer.num_threads=0", "trainer.num_threads=0 must be from 1 to 1024, or null"),
    ("trainer.num_threads=two", "trainer.num_threads=two must be of type int | None"),
    ("trainer.deterministic=maybe", "trainer.deterministic=maybe must be of type bool"),
    ("+trainer.foo=1", "trainer.foo=1 is not a key of Trainer"),
    (
        "trainer._target_=lrbench.scheduler.Part",
        "trainer._target_=lrbench.scheduler.Part is not a lrbench.trainer.Trainer",
    ),
    # optimizer
    ("optimizer.lr=-1", "optimizer.lr=-1.0 must be above 0 and finite"),
    ("optimizer.lr=0", "optimizer.lr=0.0 must be above 0 and finite"),
    ("optimizer.lr=nan", "optimizer.lr=nan must be above 0 and finite"),
    ("optimizer.lr=inf", "optimizer.lr=inf must be above 0 and finite"),
    ("optimizer.lr=fast", "optimizer.lr=fast must be of type float"),
    ("optimizer.lr=null", "optimizer.lr=None must be of type float"),
    ("optimizer.lr=[1,2]", "optimizer.lr=[1, 2] must be of type float"),
    ("optimizer.lr=???", "optimizer.lr has no value: write optimizer.lr=..."),
    ("optimizer.weight_decay=-1", "optimizer.weight_decay=-1.0 must be 0 or above, and finite"),
    ("optimizer.weight_decay=inf", "optimizer.weight_decay=inf must be 0 or above, and finite"),
    (
        "optimizer.decay_norms_and_biases=2",
        "optimizer.decay_norms_and_biases=2 must be of type bool",
    ),
    (
        "optimizer.algorithm=sgd",
        "optimizer.algorithm=sgd has no _target_: name the class or function to call",
    ),
    (
        "optimizer.algorithm=null",
        "optimizer.algorithm=None has no _target_: name the class or function to call",
    ),
    (
        "+optimizer.algorithm.lr=1",
        "optimizer.algorithm.lr=1 is set for all groups: write optimizer.lr=1",
    ),
    (
        "+optimizer.algorithm.weight_decay=1",
        "optimizer.algorithm.weight_decay=1 is set for all groups: write optimizer.weight_decay=1",
    ),
    ("optimizer.layer_decay=1", "optimizer.layer_decay=1.0 must be in (0, 1), or null"),
    ("optimizer.layer_decay=0", "optimizer.layer_decay=0.0 must be in (0, 1), or null"),
    ("optimizer.layer_decay=deep", "optimizer.layer_decay=deep must be of type float | None"),
    ("optimizer.groups=5", "optimizer.groups=5 must be of type Mapping[str, Rule] | None"),
    (
        "+optimizer.groups.head=5",
        "optimizer.groups.head=5 must be a rule, such as {dimensions: 2}",
    ),
    (
        "optimizer.groups={default: {dimensions: 2}}",
        "optimizer.groups=default must be a name, and not default",
    ),
    (
        "+optimizer.groups.head={}",
        "optimizer.groups.head.name=None needs a value, or give dimensions or layers",
    ),
    (
        "optimizer.groups={head: {nam: x}}",
        "optimizer.groups.head.nam=x is not a key of Rule (name, dimensions, layers, lr_factor",
    ),
    (
        "optimizer.groups={head: {name: '('}}",
        "optimizer.groups.head.name=( is no regular expression: ",
    ),
    (
        "optimizer.groups={head: {dimensions: -1}}",
        "optimizer.groups.head.dimensions=-1 must be 0 or above",
    ),
    (
        "optimizer.groups={head: {layers: last}}",
        "optimizer.groups.head.layers=last is not one of input, hidden, output",
    ),
    (
        "optimizer.groups={head: {dimensions: 2, lr_factor: 0}}",
        "optimizer.groups.head.lr_factor=0.0 must be above 0 and finite; freeze=true keeps",
    ),
    (
        "optimizer.groups={head: {dimensions: 2, weight_decay: -1}}",
        "optimizer.groups.head.weight_decay=-1.0 must be 0 or above, and finite",
    ),
    (
        "optimizer.groups={head: {dimensions: 2, freeze: some}}",
        "optimizer.groups.head.freeze=some must be of type bool",
    ),
    (
        "optimizer.groups={head: {dimensions: 2, freeze: true, lr_factor: 2}}",
        "optimizer.groups.head.freeze=True leaves nothing to train: leave the rule's other keys",
    ),
    (
        "optimizer.groups={head: {dimensions: 2, scheduler: cosine}}",
        "optimizer.groups.head.scheduler=cosine must be of type Scheduler | None",
    ),
    (
        "optimizer.groups={head: {dimensions: 2, algorithm: adam}}",
        "optimizer.groups.head.algorithm=adam has no _target_: name the class or function",
    ),
    (
        "optimizer=muon +optimizer.groups.matrices.algorithm.lr=1",
        "optimizer.groups.matrices.algorithm.lr=1 is the group's: write optimizer.groups.matrices"
        ".lr_factor=...",
    ),
    (
        "optimizer=muon +optimizer.groups.matrices.algorithm.weight_decay=1",
        "optimizer.groups.matrices.algorithm.weight_decay=1 is the group's: write optimizer.grou",
    ),
    (
        "optimizer._target_=torch.optim.SGD",
        "optimizer._target_=torch.optim.SGD is not a lrbench.optimizer.Optimizer",
    ),
    (
        "optimizer.algorithm._target_=os.system",
        "optimizer.algorithm._target_=os.system is not allowed",
    ),
    # dataset
    ("dataset.val_fraction=0", "dataset.val_fraction=0.0 must be in (0, 1)"),
    ("dataset.val_fraction=1", "dataset.val_fraction=1.0 must be in (0, 1)"),
    ("dataset.val_fraction=nan", "dataset.val_fraction=nan must be in (0, 1)"),
    ("dataset.val_fraction=most", "dataset.val_fraction=most must be of type float"),
    ("dataset.test_fraction=1", "dataset.test_fraction=1.0 must be in (0, 1)"),
    ("dataset.test_fraction=null", "dataset.test_fraction=None must be of type float"),
    ("dataset.split_seed=-1", "dataset.split_seed=-1 must be 0 or more"),
    ("dataset.split_seed=1.5", "dataset.split_seed=1.5 must be of type int"),
    ("dataset.mean=0.5", "dataset.mean=0.5 must be of type tuple[float, ...] | None"),
    ("dataset.mean=[x]", "dataset.mean=['x'] must be of type tuple[float, ...] | None"),
    ("dataset.mean=[inf]", "dataset.mean=[inf] must be finite numbers"),
    ("dataset.mean=null", "dataset.mean=None must be given where the other of mean and std is"),
    ("dataset.std=[0]", "dataset.std=[0.0] must be finite numbers above 0"),
    ("dataset.std=null", "dataset.std=None must be given where the other of mean and std is"),
    ("dataset.augment=3", "dataset.augment=3 must be of type Augment"),
    ("dataset.augment=null", "dataset.augment=None must be of type Augment"),
    (
        "dataset.augment._target_=lrbench.dataset.Augmnt",
        "dataset.augment._target_=lrbench.dataset.Augmnt: lrbench.dataset has no Augmnt; d",
    ),
    ("dataset.augment.crop_padding=-1", "dataset.augment.crop_padding=-1 must be 0 or more"),
    ("dataset.augment.crop_padding=some", "dataset.augment.crop_padding=some must be of type int"),
    ("dataset.augment.flip=sometimes", "dataset.augment.flip=sometimes must be of type bool"),
    ("dataset.augment.cutout=-1", "dataset.augment.cutout=-1 must be 0 or more"),
    ("dataset.augment.cutout=null", "dataset.augment.cutout=None must be of type int"),
    (
        "dataset=cifar10 dataset.name=cifar11",
        "dataset.name=cifar11 is not one of mnist, fashion_mnist, cifar10, cifar100; did y",
    ),
    ("dataset=cifar10 dataset.name=null", "dataset.name=None must be of type str"),
    ("dataset=cifar10 dataset.root=null", "dataset.root=None must be of type str"),
    ("dataset=mnist dataset.download=perhaps", "dataset.download=perhaps must be of type bool"),
    ("dataset=imagefolder dataset.root=???", "dataset.root has no value: write dataset.root=..."),
    ("dataset=imagefolder dataset.root=[a,b]", "dataset.root=['a', 'b'] must be of type str"),
    ("dataset=imagefolder dataset.cache=null", "dataset.cache=None must be of type str"),
    ("dataset=imagefolder dataset.image_size=0", "dataset.image_size=0 must be 1 or more, or null"),
    (
        "dataset=imagefolder dataset.image_size=big",
        "dataset.image_size=big must be of type int | None",
    ),
    ("dataset=imagefolder dataset.in_channels=2", "dataset.in_channels=2 must be 1 or 3"),
    (
        "dataset=imagefolder dataset.in_channels=null",
        "dataset.in_channels=None must be of type int",
    ),
    ("dataset=imagefolder dataset.test_fraction=0", "dataset.test_fraction=0.0 must be in (0, 1)"),
    (
        "dataset._target_=torch.nn.Identity",
        "dataset._target_=torch.nn.Identity is not a lrbench.dataset.Dataset",
    ),
    ("dataset=diabetes dataset.name=iris", "dataset.name=iris is not one of diabetes, california"),
    ("dataset=diabetes dataset.download=maybe", "dataset.download=maybe must be of type bool"),
    ("dataset=diabetes dataset.target=null", "dataset.target=None must be of type str"),
    ("dataset=diabetes dataset.test_fraction=0", "dataset.test_fraction=0.0 must be in (0, 1)"),
    ("dataset=diabetes dataset.numeric=age", "dataset.numeric=age must be of type tuple[str, ...]"),
    (
        "dataset=diabetes dataset.categorical=[sex,bmi,sex]",
        "dataset.categorical=['sex', 'bmi', 'sex'] names sex that is in categorical already",
    ),
    ("dataset=diabetes dataset.ignore=[target]", "dataset.ignore=['target'] names the target"),
    ("dataset=table dataset.path=???", "dataset.path has no value: write dataset.path=..."),
    ("dataset=table dataset.separator=tab", "dataset.separator=tab must be one character"),
    ("dataset=table dataset.missing=?", "dataset.missing=? must be of type tuple[str, ...]"),
    # model
    ("model.depth=9", "model.depth=9 must be 6n + 2: 8, 14, 20, 32, 44, 56, 110, ..."),
    ("model.depth=deep", "model.depth=deep must be of type int"),
    ("model.depth=2", "model.depth=2 must be 6n + 2: 8, 14, 20, 32, 44, 56, 110, ..."),
    ("model.width=0", "model.width=0 must be at least 1 channel"),
    ("model.width=null", "model.width=None must be of type int"),
    (
        "model._target_=lrbench.model.CifarResnet",
        "model._target_=lrbench.model.CifarResnet: lrbench.model has no CifarResnet; did y",
    ),
    ("model=resnet18 model.blocks=[]", "model.blocks=[] must be a list of numbers of at least 1"),
    (
        "model=resnet18 model.blocks=[2,0]",
        "model.blocks=[2, 0] must be a list of numbers of at least 1",
    ),
    ("model=resnet18 model.blocks=2", "model.blocks=2 must be of type tuple[int, ...]"),
    ("model=resnet18 model.width=-64", "model.width=-64 must be at least 1 channel"),
    (
        "model=wrn_28_10 model.depth=27",
        "model.depth=27 must be 6n + 4: 10, 16, 22, 28, 34, 40, ...",
    ),
    ("model=wrn_28_10 model.widen_factor=0", "model.widen_factor=0 must be at least 1"),
    ("model=wrn_28_10 model.widen_factor=wide", "model.widen_factor=wide must be of type int"),
    ("model=mlp model.hidden=[0]", "model.hidden=[0] must be a list of numbers of at least 1"),
    ("model=mlp model.hidden=256", "model.hidden=256 must be of type tuple[int, ...]"),
    ("model=mlp model.hidden=null", "model.hidden=None must be of type tuple[int, ...]"),
    ("model=lenet +model.width=3", "model.width=3 is not a key of LeNet ()"),
    ("model=vit_tiny model.patch_size=0", "model.patch_size=0 must be at least 1"),
    ("model=vit_tiny model.patch_size=4x4", "model.patch_size=4x4 must be of type int"),
    ("model=vit_tiny model.dim=0", "model.dim=0 must be at least 1"),
    ("model=vit_tiny model.depth=0", "model.depth=0 must be at least 1"),
    ("model=vit_tiny model.heads=5", "model.heads=5 must divide dim=192"),
    ("model=vit_tiny model.heads=0", "model.heads=0 must be at least 1"),
    ("model=vit_tiny model.mlp_ratio=0.5", "model.mlp_ratio=0.5 must be of type int"),
    ("model=ft_transformer model.dim=0", "model.dim=0 must be at least 1"),
    ("model=ft_transformer model.depth=0", "model.depth=0 must be at least 1"),
    ("model=ft_transformer model.heads=5", "model.heads=5 must divide dim=192"),
    ("model=ft_transformer model.hidden=wide", "model.hidden=wide must be of type int"),
    ("model=ft_transformer model.dropout=1", "model.dropout=1.0 must be at least 0 and below 1"),
    (
        "model=ft_transformer model.attention_dropout=-1",
        "model.attention_dropout=-1.0 must be at least 0 and below 1",
    ),
    (
        "model=torchvision_resnet18 model._target_=torchvision.models.resnet19",
        "model._target_=torchvision.models.resnet19: torchvision.models has no resnet19; d",
    ),
    (
        "model._target_=lrbench.dataset.Augment",
        "model._target_=lrbench.dataset.Augment is not a lrbench.model.Model",
    ),
    # scheduler
    ("scheduler.warmup=5", "scheduler.warmup='5' is not a duration"),
    ("scheduler.warmup=null", "scheduler.warmup=None must be of type str"),
    (
        "scheduler.warmup_shape=curved",
        "scheduler.warmup_shape=curved is not one of linear, cosine, exponential, constant",
    ),
    (
        "scheduler.warmup_start_factor=2",
        "scheduler.warmup_start_factor=2.0 must be between 0 and 1",
    ),
    (
        "scheduler.warmup_start_factor=nan",
        "scheduler.warmup_start_factor=nan must be between 0 and 1",
    ),
    ("scheduler.decay=long", "scheduler.decay='long' is not a duration"),
    ("scheduler.min_factor=2", "scheduler.min_factor=2.0 must be between 0 and 1"),
    ("scheduler.min_factor=-0.1", "scheduler.min_factor=-0.1 must be between 0 and 1"),
    ("scheduler.min_factor=nan", "scheduler.min_factor=nan must be between 0 and 1"),
    ("scheduler.min_factor=low", "scheduler.min_factor=low must be of type float"),
    ("scheduler.k=0", "scheduler.k=0.0 must be above 0; 1 is the usual cosine"),
    ("scheduler.k=inf", "scheduler.k=inf must be above 0; 1 is the usual cosine"),
    (
        "scheduler=cosine_restarts scheduler.first_cycle=rest",
        "scheduler.first_cycle='rest' is not a duration",
    ),
    (
        "scheduler=cosine_restarts scheduler.cycle_multiplier=0.5",
        "scheduler.cycle_multiplier=0.5 must be at least 1",
    ),
    (
        "scheduler=cosine_restarts scheduler.peak_decay=0",
        "scheduler.peak_decay=0.0 must be in (0, 1]",
    ),
    (
        "scheduler=cosine_restarts scheduler.min_factor=1.1",
        "scheduler.min_factor=1.1 must be between 0 and 1",
    ),
    ("scheduler=cyclic scheduler.rise=10", "scheduler.rise='10' is not a duration"),
    ("scheduler=cyclic scheduler.fall=fast", "scheduler.fall='fast' is not a duration"),
    (
        "scheduler=cyclic scheduler.mode=square",
        "scheduler.mode=square is not one of triangular, triangular2, exp_range",
    ),
    ("scheduler=cyclic scheduler.decay_rate=2", "scheduler.decay_rate=2.0 must be in (0, 1]"),
    (
        "scheduler=cyclic scheduler.min_factor=nan",
        "scheduler.min_factor=nan must be between 0 and 1",
    ),
    ("scheduler=exponential scheduler.decay_rate=0", "scheduler.decay_rate=0.0 must be in (0, 1]"),
    ("scheduler=exponential scheduler.every=rest", "scheduler.every='rest' is not a duration"),
    (
        "scheduler=exponential scheduler.min_factor=-1",
        "scheduler.min_factor=-1.0 must be between 0 and 1",
    ),
    (
        "scheduler=inverse_sqrt scheduler.timescale=rest",
        "scheduler.timescale='rest' is not a duration",
    ),
    (
        "scheduler=inverse_sqrt scheduler.min_factor=3",
        "scheduler.min_factor=3.0 must be between 0 and 1",
    ),
    ("scheduler=linear scheduler.duration=all", "scheduler.duration='all' is not a duration"),
    (
        "scheduler=linear scheduler.start_factor=2",
        "scheduler.start_factor=2.0 must be between 0 and 1",
    ),
    (
        "scheduler=linear scheduler.end_factor=-1",
        "scheduler.end_factor=-1.0 must be between 0 and 1",
    ),
    (
        "scheduler=multistep scheduler.milestones=50%",
        "scheduler.milestones=50% must be of type tuple[str, ...]",
    ),
    (
        "scheduler=multistep scheduler.milestones=[50]",
        "scheduler.milestones='50' is not a duration",
    ),
    ("scheduler=multistep scheduler.cut_factor=1", "scheduler.cut_factor=1.0 must be in (0, 1)"),
    (
        "scheduler=multistep scheduler.min_factor=2",
        "scheduler.min_factor=2.0 must be between 0 and 1",
    ),
    (
        "scheduler=noam scheduler.warmup_shape=cosine",
        "scheduler.warmup_shape=cosine must be linear: noam defines its warmup",
    ),
    (
        "scheduler=noam scheduler.warmup_start_factor=0.5",
        "scheduler.warmup_start_factor=0.5 must be 0: noam's warmup is from zero, and upda",
    ),
    ("scheduler=onecycle scheduler.pct_start=0.3", "scheduler.pct_start='0.3' is not a duration"),
    ("scheduler=onecycle scheduler.div_factor=0.5", "scheduler.div_factor=0.5 must be >= 1"),
    (
        "scheduler=onecycle scheduler.final_div_factor=0",
        "scheduler.final_div_factor=0.0 must be at least 1",
    ),
    (
        "scheduler=onecycle scheduler.final_div_of=start",
        "scheduler.final_div_of=start is not one of initial, peak",
    ),
    ("scheduler=onecycle scheduler.three_phase=3", "scheduler.three_phase=3 must be of type bool"),
    (
        "scheduler=onecycle scheduler.anneal=cosine",
        "scheduler.anneal=cosine is not one of cos, linear; did you mean cos?",
    ),
    (
        "scheduler=onecycle scheduler.cycle_momentum=often",
        "scheduler.cycle_momentum=often must be of type bool",
    ),
    (
        "scheduler=onecycle scheduler.base_momentum=1",
        "scheduler.base_momentum=1.0 must be in [0, 1)",
    ),
    (
        "scheduler=onecycle scheduler.max_momentum=0.5",
        "scheduler.max_momentum=0.5 must be in [base_momentum=0.85, 1)",
    ),
    ("scheduler=piecewise scheduler.positions=[0]", "scheduler.positions='0' is not a duration"),
    (
        "scheduler=piecewise scheduler.positions=[0%]",
        "scheduler.values=[0.1, 1.0, 0.0] must be as many as positions (1)",
    ),
    (
        "scheduler=piecewise scheduler.values=[]",
        "scheduler.values=[] must hold at least one factor",
    ),
    (
        "scheduler=piecewise scheduler.values=[1,2,3]",
        "scheduler.values=2.0 must be between 0 and 1",
    ),
    (
        "scheduler=piecewise scheduler.interpolation=spline",
        "scheduler.interpolation=spline is not one of linear, cosine, constant; did you me",
    ),
    ("scheduler=plateau scheduler.cut_factor=1", "scheduler.cut_factor=1.0 must be in (0, 1)"),
    (
        "scheduler=plateau scheduler.patience=-1",
        "scheduler.patience=-1 must be 0 or more evaluations",
    ),
    ("scheduler=plateau scheduler.patience=1.5", "scheduler.patience=1.5 must be of type int"),
    (
        "scheduler=plateau scheduler.cooldown=-1",
        "scheduler.cooldown=-1 must be 0 or more evaluations",
    ),
    ("scheduler=plateau scheduler.threshold=nan", "scheduler.threshold=nan must be 0 or more"),
    (
        "scheduler=plateau scheduler.threshold_mode=relative",
        "scheduler.threshold_mode=relative is not one of rel, abs",
    ),
    ("scheduler=plateau scheduler.mode=lowest", "scheduler.mode=lowest is not one of min, max"),
    (
        "scheduler=plateau scheduler.counting=numpy",
        "scheduler.counting=numpy is not one of torch, keras",
    ),
    (
        "scheduler=plateau scheduler.min_factor=-1",
        "scheduler.min_factor=-1.0 must be between 0 and 1",
    ),
    ("scheduler=polynomial scheduler.power=0", "scheduler.power=0.0 must be above 0"),
    ("scheduler=polynomial scheduler.decay=1", "scheduler.decay='1' is not a duration"),
    ("scheduler=rex scheduler.min_factor=null", "scheduler.min_factor=None must be of type float"),
    ("scheduler=step scheduler.every=0.3", "scheduler.every='0.3' is not a duration"),
    ("scheduler=step scheduler.cut_factor=0", "scheduler.cut_factor=0.0 must be in (0, 1)"),
    ("scheduler=step scheduler.min_factor=2", "scheduler.min_factor=2.0 must be between 0 and 1"),
    ("scheduler=tanh scheduler.lower=-inf", "scheduler.lower=-inf must be a finite number"),
    ("scheduler=tanh scheduler.upper=-8", "scheduler.upper=-8.0 must be above lower=-7.0"),
    ("scheduler=warmup_decay scheduler.decay=0.5", "scheduler.decay='0.5' is not a duration"),
    (
        "scheduler=warmup_decay scheduler.decay_shape=parabola",
        "scheduler.decay_shape=parabola is not one of exponential, linear, cosine, polynom",
    ),
    ("scheduler=warmup_decay scheduler.decay_rate=0", "scheduler.decay_rate=0.0 must be in (0, 1]"),
    ("scheduler=warmup_decay scheduler.power=-1", "scheduler.power=-1.0 must be above 0"),
    (
        "scheduler=warmup_decay scheduler.min_factor=2",
        "scheduler.min_factor=2.0 must be between 0 and 1",
    ),
    (
        "scheduler=warmup_decay scheduler.clock=hour",
        "scheduler.clock=hour is not one of step, epoch",
    ),
    ("scheduler=wsd scheduler.cooldown=20", "scheduler.cooldown='20' is not a duration"),
    (
        "scheduler=wsd scheduler.cooldown_shape=sqrt",
        "scheduler.cooldown_shape=sqrt is not one of linear, cosine, 1-sqrt; did you mean 1-sqrt?",
    ),
    ("scheduler=wsd scheduler.min_factor=2", "scheduler.min_factor=2.0 must be between 0 and 1"),
    (
        "scheduler=chain scheduler.parts=null",
        "scheduler.parts=None must be of type Mapping[str, Part]",
    ),
    (
        "scheduler=chain scheduler.parts.warmup=5",
        "scheduler.parts.warmup=5 must be a part (lrbench.scheduler.Part)",
    ),
    (
        "scheduler=chain scheduler.parts.warmup.duration=5",
        "scheduler.parts.warmup.duration='5' is not a duration",
    ),
    (
        "scheduler=chain scheduler.parts.plateau.scale=peak",
        "scheduler.parts.plateau.scale=peak is not one of previous, base",
    ),
    (
        "scheduler=chain scheduler.parts.plateau.scheduler=plateau",
        "scheduler.parts.plateau.scheduler=plateau must be of type Scheduler",
    ),
    (
        "scheduler=chain scheduler.parts.plateau.scheduler.patience=-1",
        "scheduler.parts.plateau.scheduler.patience=-1 must be 0 or more evaluations",
    ),
    (
        "scheduler=chain scheduler.parts.cooldown.scheduler.end_factor=2",
        "scheduler.parts.cooldown.scheduler.end_factor=2.0 must be between 0 and 1",
    ),
    (
        "scheduler=chain scheduler.parts.cooldown._target_=lrbench.scheduler.Chain",
        "is not a key of Chain",
    ),
    (
        "scheduler=keras/reduce_lr_on_plateau scheduler.patience=-2",
        "scheduler.patience=-2 must be 0 or more evaluations",
    ),
    (
        "scheduler=keras/cosine_decay scheduler.decay=ages",
        "scheduler.decay='ages' is not a duration",
    ),
    (
        "scheduler=chain scheduler.parts.plateau.scheduler._target_=lrbench.model.LeNet",
        "is not a key of LeNet ()",
    ),
    (
        "scheduler._target_=lrbench.trainer.Trainer",
        "scheduler._target_=lrbench.trainer.Trainer is not a lrbench.scheduler.Scheduler",
    ),
]
