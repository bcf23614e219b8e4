import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.spdy.SpdyHttpHeaders;
import io.netty.handler.codec.spdy.SpdyStreamStatus;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Netty as a SPDY/3.1 client: java Client [tls]. It reads "CONVERSATION PORT" lines,
 * holds each conversation on a connection of its own and prints "RESULT ok" or
 * "RESULT failed: why". It ends with its input.
 */
public final class Client extends SimpleChannelInboundHandler<HttpObject> {
    private static final String STREAM = SpdyHttpHeaders.Names.STREAM_ID.toString();
    private static final String ASSOCIATED = SpdyHttpHeaders.Names.ASSOCIATED_TO_STREAM_ID.toString();
    private static final int PATIENCE = 35; // seconds; whoever started us gives up sooner

    private final int port;
    private final boolean secure;
    private final Frames frames = new Frames();
    private final Map<Integer, CompletableFuture<FullHttpResponse>> answers = new ConcurrentHashMap<>();
    private final Map<Integer, String> promised = new ConcurrentHashMap<>();
    private Channel channel;
    private int nextStream = 1;

    private Client(int port, boolean secure) {
        super(false);
        this.port = port;
        this.secure = secure;
    }

    public static void main(String[] args) throws Exception {
        SslContext tls = args.length == 0 ? null
            : SslContextBuilder.forClient().trustManager(InsecureTrustManagerFactory.INSTANCE).sslProvider(SslProvider.JDK).build();
        NioEventLoopGroup loop = new NioEventLoopGroup(1);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        System.out.println("READY");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            Client c = new Client(Integer.parseInt(words[1]), tls != null);
            try {
                c.connect(loop, tls);
                c.hold(words[0]);
                System.out.println("RESULT ok");
            } catch (ExecutionException e) {
                System.out.println("RESULT failed: " + e.getCause());
            } catch (Exception e) {
                System.out.println("RESULT failed: " + e);
            }
            if (c.channel != null && !words[0].equals("goaway-c")) {
                c.channel.close();
            }
        }
        System.exit(0);
    }

    private void connect(NioEventLoopGroup loop, SslContext tls) throws Exception {
        channel = new Bootstrap().group(loop).channel(NioSocketChannel.class).handler(new ChannelInitializer<SocketChannel>() {
            @Override
            protected void initChannel(SocketChannel ch) {
                Pipeline.build(ch, tls, false, frames);
                ch.pipeline().addLast("http", Client.this);
            }
        }).connect("127.0.0.1", port).sync().channel();
    }

    private void hold(String conversation) throws Exception {
        switch (conversation) {
            case "get": get(); break;
            case "head": head(); break;
            case "echo": echo(); break;
            case "streams": streams(); break;
            case "headers": headers(); break;
            case "trailers": trailers(); break;
            case "window": window(); break;
            case "push": push(); break;
            case "cancel": cancel(); break;
            case "cut": cut(); break;
            case "goaway-c": sayGoAway(); break;
            case "goaway-s": hearGoAway(); break;
            case "ping": ping(); break;
            default: throw new Exception("no conversation " + conversation);
        }
    }

    private CompletableFuture<FullHttpResponse> send(HttpMethod method, String path, byte[] body, String... headers) {
        int stream = nextStream;
        nextStream += 2;
        ByteBuf content = body == null ? Unpooled.EMPTY_BUFFER : Unpooled.wrappedBuffer(body);
        FullHttpRequest r = new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, method, path, content);
        r.headers().setInt(STREAM, stream);
        r.headers().setInt(SpdyHttpHeaders.Names.PRIORITY, stream / 2 % 8);
        r.headers().set(SpdyHttpHeaders.Names.SCHEME, secure ? "https" : "http");
        r.headers().set(HttpHeaderNames.HOST, "127.0.0.1:" + port);
        if (body != null) {
            r.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, body.length);
        }
        for (int i = 0; i + 1 < headers.length; i += 2) {
            r.headers().set(headers[i], headers[i + 1]);
        }
        CompletableFuture<FullHttpResponse> answer = new CompletableFuture<>();
        answers.put(stream, answer);
        channel.writeAndFlush(r).addListener(f -> {
            if (!f.isSuccess()) {
                answer.completeExceptionally(f.cause());
            }
        });
        return answer;
    }

    private static FullHttpResponse await(CompletableFuture<FullHttpResponse> answer) throws Exception {
        return answer.get(PATIENCE, TimeUnit.SECONDS);
    }

    private static byte[] body(FullHttpResponse r) {
        return ByteBufUtil.getBytes(r.content());
    }

    private static void checkText(FullHttpResponse r, String want) throws Exception {
        String got = r.content().toString(StandardCharsets.UTF_8);
        Content.check(got.equals(want), r.status() + " " + got);
    }

    private void greet() throws Exception {
        FullHttpResponse r = await(send(HttpMethod.GET, "/get?q=a%20b", null));
        Content.check(r.status().code() == 200 && r.content().toString(StandardCharsets.UTF_8).startsWith("hello from "), "GET /get: " + r.status());
        Content.check("GET /get?q=a%20b".equals(r.headers().get("x-saw")), "the server saw " + r.headers().get("x-saw"));
    }

    private void get() throws Exception {
        greet();
        List<String> cookies = await(send(HttpMethod.GET, "/get", null)).headers().getAll(HttpHeaderNames.SET_COOKIE);
        Content.check(cookies.equals(List.of("a=1", "b=2")), "set-cookie " + cookies);
        int status = await(send(HttpMethod.GET, "/nowhere", null)).status().code();
        Content.check(status == 404, "GET /nowhere: " + status);
    }

    private void head() throws Exception {
        FullHttpResponse r = await(send(HttpMethod.HEAD, "/get", null));
        Content.check(r.status().code() == 200 && !r.content().isReadable(), r.status() + ", " + r.content().readableBytes() + " bytes");
        Content.check("HEAD /get".equals(r.headers().get("x-saw")), "the server saw " + r.headers().get("x-saw"));
        greet();
    }

    private void echo() throws Exception {
        byte[] sent = Content.pattern(Content.BIG_BODY);
        Content.checkBody(body(await(send(HttpMethod.POST, "/echo", sent))), sent);
    }

    private void streams() throws Exception {
        List<CompletableFuture<FullHttpResponse>> all = new ArrayList<>();
        for (int i = 0; i < Content.MANY_STREAMS; i++) {
            all.add(send(HttpMethod.GET, "/gather?n=" + Content.MANY_STREAMS, null));
        }
        byte[] want = Content.pattern(Content.SMALL_BODY);
        for (CompletableFuture<FullHttpResponse> one : all) {
            Content.checkBody(body(await(one)), want);
        }
    }

    private void headers() throws Exception {
        FullHttpResponse r = await(send(HttpMethod.GET, "/headers", null, "x-big", Content.BIG_HEADER));
        Content.check(Content.BIG_HEADER.equals(r.headers().get("x-big")), r.status() + ", x-big came back differently");
        greet();
    }

    private void trailers() throws Exception {
        FullHttpResponse r = await(send(HttpMethod.GET, "/trailers", null));
        checkText(r, "body\n");
        if (r.headers().contains("x-checksum")) {
            System.out.println("the trailer is among the headers");
        }
        String sum = r.trailingHeaders().contains("x-checksum") ? r.trailingHeaders().get("x-checksum") : r.headers().get("x-checksum");
        Content.check("deadbeef".equals(sum), "x-checksum " + sum);
    }

    private void window() throws Exception {
        byte[] sent = Content.pattern(Content.WINDOW_BODY);
        checkText(await(send(HttpMethod.POST, "/hold", sent)), "held " + sent.length + "\n");
    }

    private void push() throws Exception {
        CompletableFuture<FullHttpResponse> pushed = new CompletableFuture<>();
        answers.put(2, pushed);
        checkText(await(send(HttpMethod.GET, "/push", null)), "page\n");
        checkText(pushed.get(2, TimeUnit.SECONDS), "pushed\n");
        Content.check("/pushed of 1".equals(promised.get(2)), "pushed is " + promised.get(2));
    }

    private void cancel() throws Exception {
        int[] size = {0};
        CompletableFuture<Void> enough = new CompletableFuture<>();
        frames.onData = (id, n) -> {
            size[0] += n;
            if (id == 1 && size[0] >= 20000 && enough.complete(null)) {
                frames.reset(1, SpdyStreamStatus.CANCEL);
            }
        };
        send(HttpMethod.GET, "/endless", null);
        enough.get(PATIENCE, TimeUnit.SECONDS);
        greet();
    }

    private void cut() throws Exception {
        CompletableFuture<Integer> reset = new CompletableFuture<>();
        frames.onReset = (id, status) -> reset.complete(status);
        CompletableFuture<FullHttpResponse> answer = send(HttpMethod.GET, "/cut", null);
        int status = reset.get(PATIENCE, TimeUnit.SECONDS);
        Content.check(status == SpdyStreamStatus.INTERNAL_ERROR.code(), "reset with " + status);
        Content.check(!answer.isDone(), "an answer that was cut off looks complete");
        greet();
    }

    private void sayGoAway() throws Exception {
        CompletableFuture<Void> begun = new CompletableFuture<>();
        frames.onData = (id, n) -> begun.complete(null);
        CompletableFuture<FullHttpResponse> answer = send(HttpMethod.GET, "/drip", null);
        begun.get(PATIENCE, TimeUnit.SECONDS);
        frames.ctx.close(); // which the session turns into GOAWAY, and waits for open streams
        checkText(await(answer), "first last\n");
    }

    private void hearGoAway() throws Exception {
        checkText(await(send(HttpMethod.GET, "/goaway", null)), "bye now\n");
        frames.goAway.get(PATIENCE, TimeUnit.SECONDS);
        Content.check(channel.closeFuture().await(PATIENCE, TimeUnit.SECONDS), "the connection stays open");
    }

    private void ping() throws Exception {
        for (int id = 1; id <= 5; id += 2) {
            CompletableFuture<Void> echo = new CompletableFuture<>();
            frames.onPing = () -> echo.complete(null);
            frames.ping(id);
            echo.get(PATIENCE, TimeUnit.SECONDS);
        }
        checkText(await(send(HttpMethod.GET, "/ping", null)), "pong\n");
    }

    @Override
    protected void channelRead0(ChannelHandlerContext ctx, HttpObject message) {
        if (message instanceof FullHttpResponse) {
            FullHttpResponse r = (FullHttpResponse) message;
            CompletableFuture<FullHttpResponse> answer = answers.get(r.headers().getInt(STREAM));
            if (answer != null) {
                answer.complete(r);
                return;
            }
        }
        if (message instanceof HttpRequest) {
            HttpRequest r = (HttpRequest) message;
            promised.put(r.headers().getInt(STREAM), r.uri() + " of " + r.headers().get(ASSOCIATED));
            return;
        }
        System.out.println("not asked for: " + message);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        answers.values().forEach(a -> a.completeExceptionally(new Exception("the connection was closed")));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        answers.values().forEach(a -> a.completeExceptionally(cause));
        ctx.close();
    }
}
