"""Every field of a run, at the paper's values (SemPPL, ResNet-50, ImageNet).

The other config files import this one and change a few lines. The config is
locked: an unknown field is an error that suggests the nearest name.

Durations are strings with a unit: `'300 epochs'`, `'1000 steps'`,
`'2000000 examples'`. The queue is `'20 batches'` or `'1024 rows'`.
"""

import ml_collections

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def get_config() -> ml_collections.ConfigDict:
  """Returns SemPPL's settings for a ResNet-50 on ImageNet with 10 % labels."""
  c = ml_collections.ConfigDict()

  c.method = 'semppl'
  c.seed = 0
  c.batch_size = 4096  # Images per step, over all devices and processes.
  # Microbatches of a batch, to save memory: a third more arithmetic, and batch
  # norm sees each microbatch separately.
  c.accumulate = 1
  c.duration = '300 epochs'
  # Weights to start from: a run, or a file for `import_weights`.
  c.init_from = ''
  # Heads to load from there, if it has them; the others are initialized.
  c.init_heads = ('projector', 'predictor')
  c.on_nonfinite = 'stop'  # 'stop' | 'skip' (drop the update, continue).
  c.log_every = '50 steps'

  c.data = ml_collections.ConfigDict(
    dict(
      kind='tfds',  # 'embedded' | 'tfds' | 'folder' | 'tfrecord' | 'npz'.
      # TFDS name; of an embedded set, 'cifar10' (the default there) or
      # 'sign_digits'.
      name='imagenet2012',
      path='',  # TFDS data_dir, folder root, TFRecord glob, or .npz file.
      train_split='train',
      test_split='validation',
      test_path='',  # Test folder, glob or file ('folder', 'tfrecord', 'npz').
      test_holdout=0.0,  # Share of the labelled images held out for test.
      labels_file='',  # csv, txt or json: relative path, label ('folder').
      # Train images that keep their label: 'all' | 'fraction:0.1' |
      # 'per_class:60' | 'ids:FILE' | 'tfds:imagenet2012_subset/10pct'.
      labels='tfds:imagenet2012_subset/10pct',
      labels_seed=0,
      labelled_per_batch=0,  # 0: uniform sampling of all images.
      limit=0,  # Number of train images to use; 0: all.
      # 'tfdata': the host reads, decodes and sends every batch. 'device': the
      # devices hold the train set, decoded once, without TensorFlow.
      backend='tfdata',
      # With 'tfdata', crop the views on the 'host', or on the 'device' from
      # whole images. Crops on the device are antialiased, see `views`.
      crops='host',
      # Maximum height and width of whole images on the devices; larger images
      # are scaled down.
      canvas=(384, 512),
      # Decode a JPEG at 1/2, 1/4 or 1/8 of its size if every view, or the
      # canvas, still gets at least as many pixels as it has.
      scaled_decoding=False,
      device_gib=8.0,  # Memory limit per device of a train set there.
      shuffle_gib=1.0,  # Memory for the shuffle buffers of one process.
      prefetch=2,  # Batches kept ready on the devices.
      # tf.data worker threads; 0: all cores. Each holds a block of decoded
      # images: 8 if the batch size is a power of 2, at most 16.
      threads=0,
      max_corrupt=0.01,  # Maximum share of unreadable images in an epoch.
      saliency='',  # Folder of masks from `semppl_jax.saliency`.
    )
  )

  c.views = ml_collections.ConfigDict(
    dict(
      large=dict(count=4, size=224, area=(0.14, 1.0), aspect=(3 / 4, 4 / 3)),
      small=dict(count=2, size=96, area=(0.05, 0.14), aspect=(3 / 4, 4 / 3)),
      interpolation='bicubic',  # 'bicubic' | 'bilinear'.
      # Antialias training crops of TensorFlow. Its evaluation crops never are;
      # crops of devices and of Pillow always are.
      antialias=False,
      flip=0.5,
    )
  )

  c.augment = ml_collections.ConfigDict(
    dict(
      jitter=0.8,  # Probability of color jitter; shuffled operations.
      brightness=0.4,
      contrast=0.4,
      saturation=0.2,
      hue=0.1,
      grayscale=0.2,
      blur=(1.0, 0.1),  # Probability on even and odd views (BYOL).
      blur_sigma=(0.1, 2.0),
      solarize=(0.0, 0.2),  # Probability on even and odd views (BYOL).
      equalize=0.0,  # PAWS uses 0.2 on CIFAR-10.
      mean=IMAGENET_MEAN,
      std=IMAGENET_STD,
    )
  )

  c.saliency = ml_collections.ConfigDict(
    dict(
      probability=0.1,  # Per large view, if its image has a mask.
      fill='grey',  # 'grey' (uniform per view) | 'mean' | 'black'.
    )
  )

  c.network = ml_collections.ConfigDict(
    dict(
      backbone='resnet50',
      width=1,
      selective_kernels=False,
      stem='imagenet',  # 'imagenet' | 'cifar' | 'space_to_depth'.
      padding='torch',  # 'torch' | 'same' (DeepMind's checkpoints).
      bn_decay=0.9,
      bn_eps=1e-5,
      projector=dict(hidden=4096, output=256, layers=2, last_bias=False),
      predictor=dict(hidden=4096, last_bias=False, input_norm=False),
      prototypes=3000,  # For SwAV.
      # For supervised methods. 0: the number of classes of the data.
      classifier=dict(classes=0, input='features'),  # or 'projector_hidden'.
      precision='bfloat16',  # Convolutions; 'bfloat16' | 'float32'.
      # Recomputation in the backward pass, to save memory: 'none' | 'blocks'
      # (the inside of each residual block: least memory) | 'dots' (everything
      # except products and convolutions).
      remat='none',
    )
  )

  c.semppl = ml_collections.ConfigDict(
    dict(
      temperature=0.2,
      contrast_weight=0.3,  # c
      semantic_weight=0.2,  # alpha
      invariance_weight=5.0,  # lambda
      invariance='log_ratio',  # 'log_ratio' | 'kl'.
      num_negatives=10,
      negatives='shared',  # 'shared' | 'per_pair'.
      include_same_view=True,
      semantic_positives=True,
      num_positives=3,
      pseudo_labels='knn',  # 'knn' | 'none' | 'oracle'.
      k=1,
      vote_views='all',  # 'all' (L x L votes) | 'single' (one).
      tie='similarity',  # 'similarity' | 'smallest_class'.
      exclude_self=True,
      queue='20 batches',
    )
  )

  c.relicv2 = ml_collections.ConfigDict(
    dict(
      temperature=0.2,
      contrast_weight=0.3,
      invariance_weight=5.0,
      invariance='kl',  # 'log_ratio' | 'kl'.
      num_negatives=10,
      negatives='shared',  # 'shared' | 'per_pair'.
      include_same_view=True,
    )
  )

  # Labelled rows that come with each batch, for methods that need them.
  c.support = ml_collections.ConfigDict(
    dict(
      classes_per_batch=960,  # Over all devices and processes.
      images_per_class=7,
      views=1,  # Large crops of each image.
    )
  )

  c.paws = ml_collections.ConfigDict(
    dict(
      temperature=0.1,
      sharpening=0.25,  # T; 1: none.
      label_smoothing=0.1,
      me_max=True,
      predictor=True,
    )
  )

  c.simclr = ml_collections.ConfigDict(dict(temperature=0.1))

  c.suncet = ml_collections.ConfigDict(
    dict(
      temperature=0.1,
      contrast_weight=1.0,  # Weight of NT-Xent; 0: none.
      labelled='support',  # 'support' | 'batch' (labelled rows of the batch).
      duration='100 epochs',  # NT-Xent only after that.
    )
  )

  c.swav = ml_collections.ConfigDict(
    dict(
      temperature=0.1,
      epsilon=0.05,
      iterations=3,
      queue='0 rows',  # For batches with few rows per prototype.
      queue_from='15 epochs',
      freeze='1 epochs',  # Prototypes are fixed at first.
    )
  )

  c.optimizer = ml_collections.ConfigDict(
    dict(
      # 'lars' (DeepMind's) | 'lars_paws' | 'adam' | 'sgd' (Nesterov's).
      name='lars',
      start_learning_rate=0.0,  # At the start of the warm-up.
      learning_rate=0.3,
      reference_batch=256,  # Learning rates scale by batch / this; 0: no.
      warmup='10 epochs',
      final_learning_rate=0.0,
      momentum=0.9,
      momentum_dtype='float32',  # Buffer; 'float32' | 'bfloat16'.
      trust_coefficient=1e-3,
      weight_decay=1e-6,
    )
  )

  c.ema = ml_collections.ConfigDict(
    dict(
      decay=0.996,
      schedule='constant',  # 'constant' | 'cosine' (rises to 1).
    )
  )

  c.eval = ml_collections.ConfigDict(
    dict(
      every='10 epochs',  # '0 epochs': never.
      k=(1, 5, 10, 20, 200),
      headline_k=20,  # The k of the summary and of the best checkpoint.
      temperature=0.07,
      full_support=True,  # Also with the whole train set as neighbours.
      baselines=False,  # At the end: raw pixels and untrained encoder.
      batch_size=512,
      resize=256,  # Short side before the centre crop.
      crop=224,
    )
  )

  c.supervised = ml_collections.ConfigDict(
    dict(
      frozen=False,  # Train only the classifier: linear evaluation.
    )
  )

  c.probe = ml_collections.ConfigDict(
    dict(
      enabled=True,  # Online linear probe; does not affect the run.
      learning_rate=1e-3,  # Adam.
    )
  )

  c.checkpoint = ml_collections.ConfigDict(
    dict(
      every='5 epochs',
      keep=3,  # Number of newest checkpoints; also the best by k-NN.
    )
  )
  return c.lock()
