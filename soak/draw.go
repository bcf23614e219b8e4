package main

func drawTo(file string, r *result) error { return nil }
