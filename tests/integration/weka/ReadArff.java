import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import weka.core.Attribute;
import weka.core.Instance;
import weka.core.Instances;
import weka.core.SparseInstance;
import weka.core.converters.ArffLoader.ArffReader;

/** Prints what WEKA reads of the ARFF files in a folder, a line per file, attribute, row or error, split by tabs. */
public class ReadArff {
  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, false, "UTF-8");
    List<Path> files;
    try (Stream<Path> listed = Files.list(Path.of(arguments[0]))) {
      files = listed.sorted().collect(Collectors.toList());
    }
    for (Path file : files) {
      out.println("file\t" + file.getFileName());
      StringBuilder text = new StringBuilder();
      try (InputStreamReader input = new InputStreamReader(new FileInputStream(file.toFile()), StandardCharsets.UTF_8)) {
        print(new ArffReader(input).getData(), text);
        out.print(text);
      } catch (Exception error) {
        out.println("error\t" + escape(String.valueOf(error.getMessage())));
      }
    }
    out.flush();
  }

  private static void print(Instances data, StringBuilder out) {
    for (int index = 0; index < data.numAttributes(); index++) {
      Attribute attribute = data.attribute(index);
      out.append("attribute\t").append(escape(attribute.name())).append('\t').append(attribute.weight());
      out.append('\t').append(Attribute.typeToString(attribute.type()));
      if (attribute.isNominal()) {
        for (int value = 0; value < attribute.numValues(); value++) {
          out.append('\t').append(escape(attribute.value(value)));
        }
      }
      out.append('\n');
    }
    for (Instance row : data) {
      out.append("row\t").append(row instanceof SparseInstance ? "sparse" : "dense").append('\t').append(row.weight());
      for (int index = 0; index < data.numAttributes(); index++) {
        out.append('\t');
        Attribute attribute = data.attribute(index);
        if (row.isMissing(index)) {
          out.append('?');
        } else if (attribute.isString() && row.value(index) >= attribute.numValues()) {
          // A sparse row leaves out a string before the file has any.
          out.append('\'');
        } else if (attribute.isNominal() || attribute.isString()) {
          out.append('\'').append(escape(row.stringValue(index)));
        } else {
          out.append(Long.toHexString(Double.doubleToLongBits(row.value(index))));
        }
      }
      out.append('\n');
    }
  }

  /** Returns a text in ASCII without control characters. */
  private static String escape(String text) {
    StringBuilder escaped = new StringBuilder();
    for (char each : text.toCharArray()) {
      if (each > ' ' && each < 127 && each != '\\') {
        escaped.append(each);
      } else {
        escaped.append(String.format("\\u%04x", (int) each));
      }
    }
    return escaped.toString();
  }
}
