// Java's `BufferedReader.readLine`, over bytes as ISO 8859-1.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

final class BufferedReaderShim {
    private BufferedReaderShim() {
    }

    private static void tell(final String kind, final String value) {
        System.out.println("{\"" + kind + "\": \"" + value + "\"}");
        System.out.flush();
    }

    public static void main(final String[] arguments) throws IOException {
        var reader = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
            tell("line", HexFormat.of().formatHex(line.getBytes(StandardCharsets.ISO_8859_1)));
        }
        tell("end", "");
    }
}
