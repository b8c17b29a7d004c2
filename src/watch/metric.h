// watch/metric.h - figures as monitors read them: families of samples with labels.
//
// Names follow the Prometheus conventions: base units (seconds, bytes), timestamps rather than ages. A family's `name`
// is without the `_total` of a counter and the `_info` of an info; the writer adds them.
//
// Threads  values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qh::watch {

enum class MetricType : std::uint8_t { kGauge, kCounter, kSummary, kInfo };

using Labels = std::vector<std::pair<std::string_view, std::string>>;

struct Sample {
  Labels labels;
  double value = 0;
};

/// One distribution: quantiles of the last seconds beside the sum and the count since the start.
struct Summary {
  Labels labels;
  std::vector<std::pair<double, double>> quantiles;  ///< (0.99, seconds)
  double sum = 0;
  std::uint64_t count = 0;
};

struct MetricFamily {
  std::string_view name;
  MetricType type = MetricType::kGauge;
  std::string_view help;
  std::vector<Sample> samples = {};
  std::vector<Summary> summaries = {};  ///< of a kSummary
};

}  // namespace qh::watch
