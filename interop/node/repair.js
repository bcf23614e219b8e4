'use strict'
// node-spdy dresses a SPDY stream up as a net.Socket handle by way of the package
// handle-thing, which was written for the handles of Node 10. On later versions
// two things are amiss with it, neither of which has to do with SPDY:
//
//   - writev() completes no request, so that a body written in several pieces
//     never ends;
//   - net.Socket asks a shared array whether the last write was asynchronous.
//     handle-thing leaves in it what a real socket has put there, and the write
//     completes twice or not at all.
//
// Both are put right here. See bug N1 in docs/interop.md; install() throws when
// handle-thing has been repaired, so that this file gets removed.
const Handle = require('handle-thing')
const wrap = process.binding('stream_wrap') // eslint-disable-line node/no-deprecated-api

function completesWritev () {
  let completed = false
  const stream = { write (chunk, encoding, done) { if (done) done() } }
  Handle.create(stream).writev({ oncomplete () { completed = true } }, [Buffer.from('a'), Buffer.from('b')], true)
  return completed
}

exports.install = function () {
  if (completesWritev()) throw new Error('recorded bug N1 no longer seen: handle-thing completes writev')
  const plain = Handle.prototype.writeEnc
  Handle.prototype.writeEnc = function (request, data, encoding) {
    const status = plain.call(this, request, data, encoding)
    wrap.streamBaseState[wrap.kLastWriteWasAsync] = 1
    return status
  }
  Handle.prototype.writev = function (request, chunks, onlyBuffers) {
    let whole = chunks
    if (!onlyBuffers) {
      whole = []
      while (chunks.length > 0) whole.push(Buffer.from(chunks.shift(), chunks.shift()))
    }
    return this.writeEnc(request, Buffer.concat(whole), null)
  }
}
