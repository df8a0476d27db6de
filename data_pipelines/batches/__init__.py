"""Batches of training sequences: their order, their songs, remixing, tf.data, the way to the device."""
