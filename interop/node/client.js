'use strict'
// node-spdy as a client: node client.js VERSION [tls]
// It reads "CONVERSATION PORT" lines, holds each conversation on a connection of its
// own and prints "RESULT ok" or "RESULT failed: why". It ends with its input.
const http = require('http')
const https = require('https')
const readline = require('readline')
const spdy = require('spdy')
const content = require('./content')
require('./repair').install()

const [version, secure] = process.argv.slice(2)
const scheme = secure ? https : http

function check (ok, why) {
  if (!ok) throw new Error(why)
}

class Talk {
  // open connects; the agent has one connection for its whole life.
  open (port) {
    const how = secure ? { protocols: [version] } : { plain: true, protocol: version }
    this.port = port
    this.agent = spdy.createAgent({ host: '127.0.0.1', port, rejectUnauthorized: false, spdy: how })
    this.agent.setMaxListeners(0)
    this.failed = new Promise((resolve, reject) => this.agent.on('error', reject))
    this.failed.catch(() => {})
    const connected = new Promise(resolve => this.agent.once('_connect', resolve))
    return Promise.race([connected, this.failed])
  }

  get connection () { return this.agent._spdyState.connection }

  close () {
    const socket = this.agent._spdyState.socket
    if (socket) socket.destroy()
  }

  request (method, path, headers) {
    const req = scheme.request({ agent: this.agent, host: '127.0.0.1', port: this.port, method, path, headers: headers || {}, rejectUnauthorized: false })
    req.on('error', () => {})
    return req
  }

  // fetch resolves with the whole answer.
  fetch (method, path, body, headers) {
    return new Promise((resolve, reject) => {
      const req = this.request(method, path, headers)
      req.on('error', reject)
      req.on('response', res => {
        const chunks = []
        const answer = { status: res.statusCode, headers: res.headers, trailers: null }
        const size = () => chunks.reduce((n, c) => n + c.length, 0)
        res.on('data', c => chunks.push(c))
        res.on('trailers', t => { answer.trailers = t })
        res.on('aborted', () => reject(new Error('aborted after ' + size() + ' bytes')))
        res.on('end', () => setImmediate(() => {
          answer.body = Buffer.concat(chunks)
          resolve(answer)
        }))
      })
      req.end(body)
    })
  }

  async greet () {
    const a = await this.fetch('GET', '/get?q=a%20b')
    check(a.status === 200 && /^hello from /.test(a.body), 'GET /get: ' + a.status + ' ' + a.body)
    check(a.headers['x-saw'] === 'GET /get?q=a%20b', 'the server saw ' + a.headers['x-saw'])
  }
}

const conversations = {
  async get (t) {
    await t.greet()
    const a = await t.fetch('GET', '/get')
    if (Array.isArray(a.headers['set-cookie'][0])) console.log('set-cookie is an array in an array')
    check(a.headers['set-cookie'].flat().join() === 'a=1,b=2', 'set-cookie ' + JSON.stringify(a.headers['set-cookie']))
    const none = await t.fetch('GET', '/nowhere')
    check(none.status === 404, 'GET /nowhere: ' + none.status)
  },

  async head (t) {
    const a = await t.fetch('HEAD', '/get')
    check(a.status === 200 && a.body.length === 0, a.status + ', ' + a.body.length + ' bytes')
    check(a.headers['x-saw'] === 'HEAD /get', 'the server saw ' + a.headers['x-saw'])
    await t.greet()
  },

  async echo (t) {
    const sent = content.pattern(content.bigBody)
    const a = await t.fetch('POST', '/echo', sent, { 'content-length': sent.length })
    check(a.status === 200 && a.body.equals(sent), a.status + ', ' + a.body.length + ' bytes came back')
  },

  async streams (t) {
    const want = content.pattern(content.smallBody)
    const all = []
    for (let i = 0; i < content.manyStreams; i++) all.push(t.fetch('GET', '/gather?n=' + content.manyStreams))
    for (const a of await Promise.all(all)) check(a.body.equals(want), a.status + ', ' + a.body.length + ' bytes')
  },

  async headers (t) {
    const a = await t.fetch('GET', '/headers', null, { 'x-big': content.bigHeader })
    check(a.headers['x-big'] === content.bigHeader, a.status + ', x-big came back as ' + String(a.headers['x-big']).length + ' bytes')
    await t.greet()
  },

  async trailers (t) {
    const a = await t.fetch('GET', '/trailers')
    check(String(a.body) === 'body\n', 'body ' + a.body)
    check(a.trailers && a.trailers['x-checksum'] === 'deadbeef', 'trailers ' + JSON.stringify(a.trailers))
  },

  async window (t) {
    const sent = content.pattern(content.windowBody)
    const a = await t.fetch('POST', '/hold', sent, { 'content-length': sent.length })
    check(String(a.body) === 'held ' + sent.length + '\n', String(a.body))
  },

  push (t) {
    return new Promise((resolve, reject) => {
      let pushed, page
      const done = () => {
        if (pushed === undefined || page === undefined) return
        if (pushed === 'pushed\n' && page === 'page\n') resolve()
        else reject(new Error('pushed ' + pushed + ', page ' + page))
      }
      const collect = (stream, end) => {
        const chunks = []
        stream.on('data', c => chunks.push(c))
        stream.on('end', () => end(String(Buffer.concat(chunks))))
      }
      const req = t.request('GET', '/push')
      req.on('error', reject)
      req.on('push', stream => {
        console.log('pushed path is ' + stream.path)
        if (!stream.path.endsWith('/pushed')) reject(new Error('pushed is ' + stream.path))
        stream.on('error', reject)
        collect(stream, body => { pushed = body; done() })
      })
      req.on('response', res => collect(res, body => { page = body; done() }))
      req.end()
    })
  },

  cancel (t) {
    return new Promise((resolve, reject) => {
      const req = t.request('GET', '/endless')
      req.on('response', res => {
        let size = 0
        res.on('error', () => {})
        res.on('data', c => {
          size += c.length
          if (size < 20000 || req.aborted) return
          req.abort()
          t.greet().then(resolve, reject)
        })
      })
      req.end()
    })
  },

  async cut (t) {
    let answer
    try {
      answer = await t.fetch('GET', '/cut')
    } catch (e) {
      return t.greet()
    }
    throw new Error('an answer of ' + answer.body.length + ' bytes that was cut off looks complete')
  },

  'goaway-c' (t) {
    return new Promise((resolve, reject) => {
      const req = t.request('GET', '/drip')
      let closed = false
      req.on('error', reject)
      req.on('response', res => {
        let body = ''
        res.on('data', c => {
          body += c
          if (closed) return
          closed = true
          t.agent.close()
        })
        res.on('aborted', () => reject(new Error('aborted after ' + body)))
        res.on('end', () => body === 'first last\n' ? resolve() : reject(new Error('body ' + body)))
      })
      req.end()
    })
  },

  async 'goaway-s' (t) {
    const closed = new Promise(resolve => t.agent._spdyState.socket.once('close', resolve))
    const a = await t.fetch('GET', '/goaway')
    check(String(a.body) === 'bye now\n', 'body ' + a.body)
    await closed
  },

  async ping (t) {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve, reject) => t.connection.ping(e => e ? reject(e) : resolve()))
    }
    const a = await t.fetch('GET', '/ping')
    check(String(a.body) === 'pong\n', 'body ' + a.body)
  }
}

async function hold (name, port) {
  const t = new Talk()
  try {
    await t.open(port)
    const talk = conversations[name](t)
    talk.catch(() => {})
    const ends = /^goaway/.test(name) // an agent reports the end of its connection as an error
    await (ends ? talk : Promise.race([talk, t.failed]))
    console.log('RESULT ok')
  } catch (e) {
    console.log('RESULT failed: ' + e.message)
  }
  if (name !== 'goaway-c') t.close()
}

process.on('uncaughtException', e => console.log('uncaught: ' + e.stack))
const lines = readline.createInterface({ input: process.stdin })
lines.on('line', line => hold(line.split(' ')[0], +line.split(' ')[1]))
lines.on('close', () => process.exit(0))
console.log('READY')
