import java.net.CookieManager;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Signs in and out at the demo with the client of Java's standard library, and prints who each page greets. */
class Client {
    private static final HttpClient client = HttpClient.newBuilder()
            .cookieHandler(new CookieManager())
            .followRedirects(HttpClient.Redirect.NORMAL)
            .build();

    public static void main(String[] args) throws Exception {
        String url = args[0];
        HttpRequest.Builder get = HttpRequest.newBuilder(URI.create(url + "/session"));
        HttpRequest.Builder in = HttpRequest.newBuilder(URI.create(url + "/sign-in"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(BodyPublishers.ofString("name=Ann"));
        HttpRequest.Builder out = HttpRequest.newBuilder(URI.create(url + "/sign-out"))
                .POST(BodyPublishers.noBody());
        for (HttpRequest.Builder request : new HttpRequest.Builder[] {get, in, get, get, out, get}) {
            String page = client.send(request.build(), BodyHandlers.ofString()).body();
            System.out.println(page.contains("Signed in as </span>Ann</span>") ? "Ann" : "nobody");
        }
    }
}
