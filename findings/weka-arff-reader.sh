#!/usr/bin/env bash
# WEKA 3.8.6: rows of an ARFF file that do not fit the header, and are read without an error.
#
# One expects a row with too many values, with a value left out, or with a wrong date to be an error. Seen instead, with
# weka.core.converters.ArffLoader.ArffReader:
# - the first value that is too many is dropped; the values behind it begin another row. If they fill it, as three too
#   many do in a file of two attributes, the data have a row more than the file; if they do not, the reader fails;
# - two commas with nothing between them count as one, so that all values behind them move to the attribute before;
# - text behind a date is ignored: a time of day, if the format of the attribute has none, and also the offset of a time
#   zone, so that the date is read in Java's default zone. A date that does not exist is refused, however.
#
# For a code base that reads ARFF files: count the values of each row, and compare the whole text of a date with its
# format. Needs a JDK (17 or newer) and Maven. Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:copy -DoutputDirectory="$folder" \
  -Dartifact=nz.ac.waikato.cms.weka:weka-stable:3.8.6
cat >"$folder/Rows.java" <<'JAVA'
import java.io.IOException;
import java.io.StringReader;
import weka.core.Instance;
import weka.core.converters.ArffLoader.ArffReader;

public class Rows {
    static final String NUMBERS = "@attribute a numeric\n@attribute b numeric\n";
    static final String DAY = "@attribute day date \"yyyy-MM-dd\"\n";
    static final String TIME = "@attribute time date \"yyyy-MM-dd HH:mm\"\n";

    static void read(String header, String... lines) {
        StringBuilder seen = new StringBuilder(String.join(" | ", lines)).append(" ->");
        String file = "@relation rows\n" + header + "@data\n" + String.join("\n", lines) + "\n";
        try {
            for (Instance row : new ArffReader(new StringReader(file)).getData()) {
                seen.append(" [").append(row).append("]");
            }
        } catch (IOException error) {
            seen.append(" error: ").append(error.getMessage().split(",")[0]);
        }
        System.out.println(seen);
    }

    public static void main(String[] arguments) {
        read(NUMBERS, "1,2,77", "3,4");
        read(NUMBERS, "1,2,77,88", "3,4");
        read(NUMBERS, "1,2,77,88,99", "3,4");
        read(NUMBERS + "@attribute c numeric\n", "1,,2,3", "4,5,6");
        read(DAY, "2024-01-05xyz");
        read(DAY, "\"2024-01-05 23:59\"");
        read(TIME, "\"2024-01-05 12:30 +02:00\"");
        read(DAY, "2024-13-05");
    }
}
JAVA
seen=$(java -Duser.timezone=UTC -cp "$folder/weka-stable-3.8.6.jar" "$folder/Rows.java")
echo "$seen"
expected="1,2,77 | 3,4 -> [1,2] [3,4]
1,2,77,88 | 3,4 -> error: premature end of line
1,2,77,88,99 | 3,4 -> [1,2] [88,99] [3,4]
1,,2,3 | 4,5,6 -> [1,2,3] [4,5,6]
2024-01-05xyz -> [2024-01-05]
\"2024-01-05 23:59\" -> [2024-01-05]
\"2024-01-05 12:30 +02:00\" -> ['2024-01-05 12:30']
2024-13-05 -> error: unparseable date: 2024-13-05"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
