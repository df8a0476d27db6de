"""Songs and their stems, sets of prepared sequences, and the tf.data pipelines that feed training."""
