# The compiler of the dev, release and coverage presets.
set(CMAKE_CXX_COMPILER g++)
