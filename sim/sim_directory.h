// sim/sim_directory.h - the names of the simulated disk: which are there, and which a power cut may take.
//
// Durability  a create, rename or remove survives once sync_up_to() covered it. Of the others, a power cut
//             keeps a first part (as a journal does), or, in the hard mode, any set in which each name saw
//             a first part of what was done to it (as POSIX allows). A rename is one step.
// Threads     one owner.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/sim_inode.h"

namespace qh {

class SimDirectory {
 public:
  using Inode = std::shared_ptr<SimInode>;
  using Names = std::map<std::string, Inode, std::less<>>;
  enum class Loss : std::uint8_t { kPrefix, kAnySubset };

  const Names& names() const { return names_; }
  const Names& durable() const { return durable_; }
  Inode find(std::string_view name) const;

  void create(std::uint64_t number, const std::string& name, Inode inode);
  void rename(std::uint64_t number, const std::string& from, const std::string& to);
  void remove(std::uint64_t number, const std::string& name);
  void sync_up_to(std::uint64_t number);
  /// The inodes that are still named lose their unsynced changes too.
  void power_cut(Rng& rng, Loss loss);

  /// Past all history: durable at once.
  void set(const std::string& name, Inode inode);
  void erase(const std::string& name);

 private:
  struct Change {
    std::uint64_t number = 0;
    std::string from;  ///< empty: `to` is created
    std::string to;    ///< empty: `from` is removed
    Inode inode;
  };
  static void apply(const Change& change, Names& to);

  Names names_;
  Names durable_;
  std::vector<Change> changes_;
};

}  // namespace qh
