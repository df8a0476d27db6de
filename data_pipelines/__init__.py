"""Songs and their stems, precomputed spectrogram sequences, and the tf.data pipelines that feed training."""
