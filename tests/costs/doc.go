// Package costs has tests of what peers can make a Server, and a Transport, keep for them, all
// sessions together.
package costs
