"""Segmenters: what is in the picture as labelled volumes; each fits the Protocol `Segmenter`."""
