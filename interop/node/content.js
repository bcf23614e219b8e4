'use strict'
// What conversations carry; the same as in ../content.go.

exports.bigBody = 10 * 1024 * 1024
exports.windowBody = 1024 * 1024
exports.smallBody = 20000
exports.cutBody = 10000
exports.manyStreams = 200

exports.pattern = function (n) {
  const p = Buffer.allocUnsafe(n)
  for (let i = 0; i < n; i++) p[i] = 7 * i + (i >> 9)
  return p
}

exports.bigHeader = (function () {
  let s = ''
  for (let i = 0; s.length < 20 << 10; i++) {
    s += 'abcdefghijklmnopqrstuvwxyz0123456789'[(i * i * 31 + (i >> 3)) % 36]
  }
  return s
})()

// A peer must not outlive whoever started it.
exports.endWithInput = function () {
  process.stdin.on('end', () => process.exit(0))
  process.stdin.resume()
}
