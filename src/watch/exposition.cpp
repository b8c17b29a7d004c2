#include "watch/exposition.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace qh::watch {
namespace {

void write_number(double value, std::string& out) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 32> text;
    out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
  }
}

void write_escaped(std::string_view text, bool quotes, std::string& out) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

class Writer {
 public:
  Writer(const MetricFamily& family, Exposition format, std::string& out)
      : family_(family), open_metrics_(format == Exposition::kOpenMetrics), out_(out) {}

  void write() {
    write_head();
    for (const auto& sample : family_.samples) write_sample(suffix(), sample.labels, {}, sample.value);
    for (const auto& summary : family_.summaries) {
      for (const auto& [quantile, value] : summary.quantiles) {
        std::string text;
        write_number(quantile, text);
        write_sample("", summary.labels, text, value);
      }
      write_sample("_sum", summary.labels, {}, summary.sum);
      write_sample("_count", summary.labels, {}, static_cast<double>(summary.count));
    }
  }

 private:
  std::string_view suffix() const {
    if (family_.type == MetricType::kCounter) return "_total";
    return family_.type == MetricType::kInfo ? "_info" : "";
  }
  std::string_view type() const {
    switch (family_.type) {
      case MetricType::kCounter:
        return "counter";
      case MetricType::kSummary:
        return "summary";
      case MetricType::kInfo:
        return open_metrics_ ? "info" : "gauge";
      default:
        return "gauge";
    }
  }

  void write_head() {
    // OpenMetrics names the family, Prometheus the sample.
    const auto tail = open_metrics_ ? std::string_view() : suffix();
    for (const std::string_view word : {"TYPE", "HELP"}) {
      out_ += "# ";
      out_ += word;
      out_ += ' ';
      out_ += family_.name;
      out_ += tail;
      out_ += ' ';
      if (word == "TYPE") {
        out_ += type();
      } else {
        write_escaped(family_.help, open_metrics_, out_);
      }
      out_ += '\n';
    }
  }

  void write_sample(std::string_view tail, const Labels& labels, std::string_view quantile, double value) {
    out_ += family_.name;
    out_ += tail;
    char separator = '{';
    const auto label = [&](std::string_view name, std::string_view text) {
      out_ += std::exchange(separator, ',');
      out_ += name;
      out_ += "=\"";
      write_escaped(text, true, out_);
      out_ += '"';
    };
    for (const auto& [name, text] : labels) label(name, text);
    if (!quantile.empty()) label("quantile", quantile);
    if (separator == ',') out_ += '}';
    out_ += ' ';
    write_number(value, out_);
    out_ += '\n';
  }

  const MetricFamily& family_;
  bool open_metrics_;
  std::string& out_;
};

std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t");
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

/// Media types and the names of their parameters have no case (RFC 9110 section 8.3.1).
std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return out;
}

/// Cuts off and answers what stands in front of the next `mark`.
std::string_view next_part(std::string_view& text, char mark) {
  const auto at = std::min(text.find(mark), text.size());
  const auto part = trimmed(text.substr(0, at));
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

}  // namespace

Exposition negotiate(std::string_view accept) {
  double open_metrics = 0, plain = 0;
  while (!accept.empty()) {
    auto range = next_part(accept, ',');
    const auto type = lower(next_part(range, ';'));
    double quality = 1;
    while (!range.empty()) {
      const auto parameter = next_part(range, ';');
      if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
      const auto number = parameter.substr(2);
      if (std::from_chars(number.data(), number.data() + number.size(), quality).ec != std::errc()) quality = 0;
    }
    if (type == "application/openmetrics-text") open_metrics = std::max(open_metrics, quality);
    if (type == "text/plain" || type == "text/*" || type == "*/*") plain = std::max(plain, quality);
  }
  return open_metrics > 0 && open_metrics >= plain ? Exposition::kOpenMetrics : Exposition::kPrometheus;
}

std::string_view content_type(Exposition format) {
  return format == Exposition::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                            : "text/plain; version=0.0.4; charset=utf-8";
}

std::string expose(std::span<const MetricFamily> families, Exposition format) {
  std::string out;
  for (const auto& family : families) {
    if (!family.samples.empty() || !family.summaries.empty()) Writer(family, format, out).write();
  }
  if (format == Exposition::kOpenMetrics) out += "# EOF\n";
  return out;
}

}  // namespace qh::watch
