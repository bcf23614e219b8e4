'use strict'
// node-spdy as a server: node server.js VERSION [CERT KEY]
// VERSION is spdy/2, spdy/3 or spdy/3.1. With a certificate it serves TLS and offers
// that version by ALPN, else plaintext in that version. It prints "READY port" and
// ends with its standard input.
const fs = require('fs')
const http = require('http')
const https = require('https')
const url = require('url')
const spdy = require('spdy')
const content = require('./content')
require('./repair').install()

const [version, cert, key] = process.argv.slice(2)

const handlers = {
  '/get' (req, res) {
    res.writeHead(200, { 'content-type': 'text/plain', 'x-saw': req.method + ' ' + req.url, 'set-cookie': ['a=1', 'b=2'] })
    res.end('hello from node-spdy\n') // for HEAD too, as handlers written for http.Server do
  },

  '/echo' (req, res) {
    res.writeHead(200, { 'content-type': 'application/octet-stream' })
    req.pipe(res)
  },

  '/gather' (req, res, query) {
    const waiting = req.spdyStream.connection.waiting = req.spdyStream.connection.waiting || []
    waiting.push(res)
    if (waiting.length < +query.n) return
    for (const r of waiting.splice(0)) {
      r.writeHead(200, {})
      r.end(content.pattern(content.smallBody))
    }
  },

  '/headers' (req, res) {
    res.writeHead(200, { 'x-big': req.headers['x-big'] })
    res.end('headers\n')
  },

  '/trailers' (req, res) {
    res.writeHead(200, { trailer: 'x-checksum' })
    // Frames with headers wait for the compressor and DATA does not, so that each has
    // to be given time to leave: else they come before the body, or not at all.
    res.write('body\n', () => {
      res.addTrailers({ 'x-checksum': 'deadbeef' })
      setTimeout(() => res.end(), 50)
    })
  },

  '/big' (req, res) {
    res.writeHead(200, {})
    res.end(content.pattern(content.windowBody))
  },

  '/push' (req, res) {
    const push = res.push('/pushed', { request: { accept: '*/*' }, response: { 'content-type': 'text/plain', 'x-pushed': 'yes' } })
    push.on('error', e => console.log('push: ' + e.message))
    push.end('pushed\n')
    res.writeHead(200, {})
    res.end('page\n')
  },

  '/endless' (req, res) {
    res.writeHead(200, {})
    const chunk = content.pattern(4096)
    const timer = setInterval(() => res.write(chunk), 5)
    req.spdyStream.once('close', () => clearInterval(timer))
  },

  '/cut' (req, res) {
    res.writeHead(200, {})
    res.write(content.pattern(content.cutBody), () => {
      setTimeout(() => req.spdyStream.abort('INTERNAL_ERROR'), 50)
    })
  },

  '/drip' (req, res) {
    res.writeHead(200, {})
    res.write('first ')
    setTimeout(() => res.end('last\n'), 150)
  },

  '/goaway' (req, res) {
    res.writeHead(200, {})
    res.write('bye ', () => req.spdyStream.connection.end())
    setTimeout(() => res.end('now\n'), 150)
  },

  '/ping' (req, res) {
    req.spdyStream.connection.ping(err => {
      res.writeHead(200, {})
      res.end(err ? 'ping: ' + err.message + '\n' : 'pong\n')
    })
  }
}

function handle (req, res) {
  const u = url.parse(req.url, true)
  req.on('error', e => console.log(req.url + ': request: ' + e.message))
  res.on('error', e => console.log(req.url + ': response: ' + e.message))
  if (req.spdyVersion !== +version.slice(5)) console.log('speaks ' + req.spdyVersion + ', not ' + version)
  const h = handlers[u.pathname]
  if (h) return h(req, res, u.query)
  res.writeHead(404)
  res.end('not found\n')
}

const server = cert
  ? spdy.createServer(https.Server, { cert: fs.readFileSync(cert), key: fs.readFileSync(key), spdy: { protocols: [version, 'http/1.1'] } }, handle)
  : spdy.createServer(http.Server, { spdy: { protocol: version } }, handle)
server.on('clientError', e => console.log('connection: ' + e.message))
process.on('uncaughtException', e => console.log('uncaught: ' + e.stack))
server.listen(0, '127.0.0.1', () => console.log('READY ' + server.address().port))
content.endWithInput()
